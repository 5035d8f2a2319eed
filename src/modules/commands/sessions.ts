// Sessions of commands (XEP-0050 3.3): between the form that somebody was sent and what they fill in. They are in a store that all nodes
// share, expire, and are for who began them alone.
import { randomBytes } from 'node:crypto';
import type { EphemeralStore } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** As stored, under the bare JID of who asks. */
export interface SessionRow {
  /** The full JID of who asks. */
  readonly asker: string;
  /** Whom the command is at, and its node. */
  readonly at: string;
  readonly node: string;
  /** In milliseconds since 1970. */
  readonly since: number;
  /** What was filled in, form after form, as XML. */
  readonly answers: readonly string[];
}

/** Whose session, of which command. */
export interface SessionKey {
  readonly asker: Jid;
  readonly at: Jid;
  readonly node: string;
}

/** After so long without a word a session is over, in milliseconds. */
export const SESSION_TIME = 10 * 60_000;
/** Sessions that one account has at a time; beyond it, the oldest is over. */
export const MOST_SESSIONS = 10;

export const newSessionId = (): string => randomBytes(12).toString('base64url');

export class CommandSessions {
  private readonly store: EphemeralStore<SessionRow>;
  private readonly now: () => number;

  constructor(store: EphemeralStore<SessionRow>, now: () => number) {
    this.store = store;
    this.now = now;
  }

  /** Begins a session; returns its id. */
  async begin({ asker, at, node }: SessionKey): Promise<string> {
    const owner = ownerOf(asker);
    const all = [...(await this.store.all(owner))].sort(([, one], [, other]) => one.since - other.since);
    const over = all.slice(0, Math.max(0, all.length - MOST_SESSIONS + 1));
    for (const [id] of over) await this.store.set(owner, id, undefined, 0);
    const id = newSessionId();
    const row: SessionRow = { asker: asker.full, at: at.full, node, since: this.now(), answers: [] };
    await this.store.set(owner, id, row, SESSION_TIME);
    return id;
  }

  /**
   * What was filled in so far.
   * @throws StanzaError with the reason (4.5): `bad-sessionid` for an id that is none of theirs, `session-expired` for one that is over
   */
  async answers({ asker, at, node }: SessionKey, id: string): Promise<readonly Element[]> {
    if (!/^[\w-]{16}$/.test(id)) throw badSession();
    const row = await this.store.get(ownerOf(asker), id);
    if (row === undefined) {
      throw new StanzaError('not-allowed', 'that session is over', { extra: el('session-expired', NS.commands) });
    }
    if (row.asker !== asker.full || row.at !== at.full || row.node !== node) throw badSession();
    return row.answers.map((xml) => parseElement(xml));
  }

  /** Keeps what was filled in; the session goes on. */
  async keep({ asker, at, node }: SessionKey, id: string, answers: readonly Element[]): Promise<void> {
    const xml = answers.map((answer) => answer.toXml());
    const row: SessionRow = { asker: asker.full, at: at.full, node, since: this.now(), answers: xml };
    await this.store.set(ownerOf(asker), id, row, SESSION_TIME);
  }

  async end({ asker }: SessionKey, id: string): Promise<void> {
    await this.store.set(ownerOf(asker), id, undefined, 0);
  }
}

const ownerOf = (asker: Jid): string => asker.withResource('').full;

const badSession = (): StanzaError =>
  new StanzaError('bad-request', 'there is no such session of yours', { extra: el('bad-sessionid', NS.commands) });
