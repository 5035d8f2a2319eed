// A client that keeps what it sends until the server has acknowledged it (XEP-0198 4), and knows of each message in which books it stands.
import { Client } from '../../../bench/load/client.ts';
import type { Entry } from './books.ts';
import type { Spoken } from './room-books.ts';

export interface Unacknowledged {
  /** The count of stanzas sent up to and with it. */
  readonly count: number;
  readonly xml: string;
  readonly entry: Entry | undefined;
  readonly spoken: Spoken | undefined;
  /** How far the archive was known when it was sent. */
  readonly mark: string;
  /** How many stanzas the client had acknowledged before: when this one is acknowledged, the server knows of these. */
  readonly told: number;
  readonly at: number;
}

/** Keeps what it sends until that is acknowledged. */
export class KeepingClient extends Client {
  readonly open: Unacknowledged[] = [];
  /** Of what is sent next. */
  entry: Entry | undefined;
  spoken: Spoken | undefined;
  mark = '';
  /** How many stanzas it has acknowledged last. */
  told = 0;
  onTold: (count: number) => void = () => {};
  /** Since when it has asked for an acknowledgement, and heard nothing at all. */
  askedAt: number | undefined;

  override send(xml: string, n = 1, asks = false): void {
    super.send(xml, n, asks);
    if (asks) this.askedAt ??= performance.now();
    if (this.sm && n > 0) {
      const { entry, spoken, mark, told } = this;
      this.open.push({ count: this.sm.sent, xml, entry, spoken, mark, told, at: performance.now() });
    }
    this.entry = this.spoken = undefined;
  }

  override write(xml: string): void {
    // what is written may be a stanza with a request behind it, or an acknowledgement, but never both
    if (this.sm && xml.startsWith('<a ')) {
      this.told = this.sm.received;
      this.onTold(this.told);
    }
    super.write(xml);
  }
}
