// A transit: one stanza on its way through one host.
import type { Stanza } from '../xmpp/stanza.ts';
import type { Host } from './host.ts';
import type { Session } from './sessions.ts';

/** One life of a full JID: a session, which the next one under the same address is not. */
export interface Life {
  readonly sid: string;
  /** When it was bound, in milliseconds since 1970, where that is known. */
  readonly since?: number;
}

/** Who brought the stanza in. */
export type Origin =
  | { readonly kind: 'client'; readonly session: Session }
  | { readonly kind: 'server'; readonly domain: string }
  /** `life`: the session that it speaks instead of. */
  | { readonly kind: 'host'; readonly host: Host; readonly life?: Life | undefined }
  /** `by`, a component, speaks for an account of the host (XEP-0356); or, by the host's own domain, who has a token of the account. */
  | { readonly kind: 'account'; readonly host: Host; readonly by: string };

/** A typed fact that one phase leaves for a later one, such as the stanza's archive id. */
export interface Note<T> {
  readonly name: string;
  readonly __type?: (value: T) => void;
}
export function defineNote<T>(name: string): Note<T> {
  return { name };
}

/** The stanza may be replaced, never changed. */
export class Transit<S extends Stanza = Stanza> {
  stanza: S;
  readonly origin: Origin;
  private notes: Map<Note<never>, unknown> | undefined;
  private work: Promise<unknown> | undefined;
  private last: (() => void) | undefined;

  constructor(stanza: S, origin: Origin) {
    this.stanza = stanza;
    this.origin = origin;
  }

  note<T>(key: Note<T>): T | undefined {
    return this.notes?.get(key as Note<never>) as T | undefined;
  }

  leave<T>(key: Note<T>, value: T): void {
    this.notes ??= new Map();
    this.notes.set(key as Note<never>, value);
  }

  /** Durability: an acknowledgement to the sender waits for this work; delivery does not. */
  settle(work: Promise<unknown>): void {
    this.work = this.work === undefined ? work : Promise.all([this.work, work]);
  }

  /**
   * To be done when a client's message has gone its whole way through its recipient's rules here, unless it is refused with the request
   * to send it again. One thing only; what it settles is waited for.
   */
  atEnd(fn: () => void): void {
    this.last = fn;
  }

  /** It has gone its way. */
  conclude(): void {
    this.last?.();
  }

  /** What an acknowledgement has to wait for; undefined when nothing is pending. */
  get settled(): Promise<unknown> | undefined {
    return this.work;
  }
}
