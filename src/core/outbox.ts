// What stands between a session and its stream where the client acknowledges what it has handled (XEP-0198).
import type { MaybePromise } from '../base/maybe.ts';
import type { Element } from '../xml/element.ts';
import type { Stanza } from '../xmpp/stanza.ts';

/** What a session may still be sent before too much waits for its client to acknowledge it. */
export interface Room {
  readonly stanzas: number;
  /** Characters of XML. */
  readonly size: number;
}

/** Counts what a session's client sends, and keeps what it is sent until it has acknowledged it (XEP-0198). */
export interface Outbox {
  /** Undefined where nothing has to be acknowledged. */
  readonly room?: Room;
  /** Writes a stanza to the session's stream, if there is one. */
  write(stanza: Stanza): void;
  /** A stanza of the client's was handled; `work` is what it still waits for before that may be acknowledged. */
  handled(work: Promise<unknown> | undefined, stanza: Element): void;
  /** Whether a stanza of the client's was handled before, where the session was then: it is to be counted, and nothing else. */
  isRepeat?(stanza: Element): boolean;
  /** The stanzas that were written and not acknowledged, as XML, oldest first; the last `most` of them. */
  unacknowledged?(most: number): readonly string[];
  /** The session is over and out of the directory: what was not acknowledged goes back through the rules of delivery. */
  giveBack(): MaybePromise<void>;
}
