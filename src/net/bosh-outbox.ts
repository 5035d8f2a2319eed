// What a BOSH session has to say and nobody has asked for yet, in pieces of the length of a response.
import { STREAM_PREFIX } from './framing.ts';

/** A response is about so long at most, in characters; the rest waits for the next one, so that lost ones are not too dear. */
const LENGTH = 256 * 1024;
const ERROR = `${STREAM_PREFIX}error`;

export class Outbox {
  /** In characters. */
  length = 0;
  /** What was written last is a stream error. */
  hasError = false;
  private pieces: string[] = [];

  write(xml: string): void {
    this.hasError = xml.startsWith(ERROR);
    const last = this.pieces.length - 1;
    const open = this.pieces[last];
    if (open !== undefined && open.length + xml.length <= LENGTH) this.pieces[last] = open + xml;
    else this.pieces.push(xml);
    this.length += xml.length;
  }

  /** As much as goes into one response; nothing, where there is nothing. */
  take(): string {
    const piece = this.pieces.shift() ?? '';
    this.length -= piece.length;
    return piece;
  }

  /** All that is left. */
  takeAll(): string {
    const all = this.pieces.join('');
    this.pieces = [];
    this.length = 0;
    return all;
  }
}
