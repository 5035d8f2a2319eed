// Strict UTF-8 over chunk boundaries (RFC 3629); Node's own decoders replace what is wrong instead of reporting it.
import { isAscii, isUtf8 } from 'node:buffer';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface Decoded {
  readonly text: string;
  /** Every character is one byte. */
  readonly ascii: boolean;
  /** What follows the text is not UTF-8. */
  readonly broken: boolean;
}

export class Utf8Decoder {
  // the beginning of a character whose rest is still to come; at most three bytes
  private tail: Buffer | undefined;

  /** Bytes that wait for the rest of their character. */
  get pending(): number {
    return this.tail?.length ?? 0;
  }

  reset(): void {
    this.tail = undefined;
  }

  decode(chunk: Buffer): Decoded {
    if (this.tail === undefined && isAscii(chunk))
      return { text: chunk.toString('latin1'), ascii: true, broken: false };
    const bytes = this.tail === undefined ? chunk : Buffer.concat([this.tail, chunk]);
    const end = wholeLength(bytes, bytes.length);
    this.tail = end === bytes.length ? undefined : Buffer.from(bytes.subarray(end));
    try {
      return { text: strict.decode(bytes.subarray(0, end)), ascii: false, broken: false };
    } catch {
      this.tail = undefined;
      return { text: strict.decode(bytes.subarray(0, soundLength(bytes))), ascii: false, broken: true };
    }
  }
}

/** The length without a character that is cut off by the end. */
function wholeLength(bytes: Buffer, length: number): number {
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back]!;
    if (byte < 0x80) return length;
    if (byte < 0xc0) continue;
    // bytes that begin no character are not worth waiting for
    if (byte < 0xc2 || byte > 0xf4) return length;
    const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return needed > back ? length - back : length;
  }
  return length;
}

/** How much of it, from the start, is UTF-8; by bisection. */
function soundLength(bytes: Buffer): number {
  let sound = 0;
  let broken = bytes.length + 1;
  while (broken - sound > 1) {
    const middle = (sound + broken) >> 1;
    if (isUtf8(bytes.subarray(0, wholeLength(bytes, middle)))) sound = middle;
    else broken = middle;
  }
  return wholeLength(bytes, sound);
}
