// What a part of somebody's client (contacts, rooms) may use of the whole: the session that it has at the moment.
import type { SessionMark } from './books.ts';
import type { KeepingClient } from './keeping-client.ts';
import type { Spoken } from './room-books.ts';

export interface Line {
  readonly client: KeepingClient;
  readonly session: SessionMark;
  /** The name of the node that it is on. */
  readonly nodeName: string;
  /** It is there, and has done what a new session has to do. */
  readonly isConnected: boolean;
  readonly isTalking: boolean;
  /** Sends one stanza, and asks for its acknowledgement where that is awaited. */
  send(xml: string, spoken?: Spoken): void;
  /** Something failed that a client can do something about. */
  setback(why: string): void;
}
