// Resource binding (RFC 6120 7), and the session that comes of it.
import { randomBytes } from 'node:crypto';
import type { SessionEntry } from '../cluster/cluster.ts';
import { clientOf, clientSlot } from '../core/client-slot.ts';
import type { Host } from '../core/host.ts';
import type { ConflictPolicy, Session, SessionStream, Sessions } from '../core/sessions.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { Jid, prepareResource } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { errorReply } from '../xmpp/stanza.ts';
import type { C2sContext } from './context.ts';

/**
 * Answers an IQ on an authenticated stream; the session, when it was a request to bind and could be met.
 * @throws StreamError `not-authorized` for anything but a request to bind, and when the login holds no longer
 */
export async function answerBind(
  iq: Element,
  host: Host,
  user: string,
  grant: Grant,
  stream: SessionStream,
  context: C2sContext,
): Promise<Session | undefined> {
  const bind = iq.getChild('bind', NS.bind);
  if (bind === undefined || !isForUs(iq.attrs.to, user, host)) {
    throw new StreamError('not-authorized', 'bind a resource first');
  }
  try {
    if (iq.attrs.type !== 'set' || iq.attrs.id === undefined) throw new StanzaError('bad-request');
    const jid = Jid.of(user, host.domain, resourceFor(bind.getChildText('resource')));
    if (grant.client !== undefined) await host.accounts.clients.bound(user, grant.client);
    const session = await bindResource(
      host,
      { jid, grant, policy: host.settings['resource-conflict'] },
      stream,
      context,
    );
    const bound = el('bind', NS.bind, undefined, el('jid', NS.bind, undefined, session.jid.full));
    stream.send(el('iq', null, { type: 'result', id: iq.attrs.id }, bound).toXml());
    return session;
  } catch (error) {
    const refusal =
      error instanceof StorageUnavailable ? new StanzaError('resource-constraint', undefined, { type: 'wait' }) : error;
    if (!(refusal instanceof StanzaError)) throw error;
    const reply = errorReply(iq, host.domain, Jid.of(user, host.domain).full, refusal);
    if (reply !== undefined) stream.send(reply.toXml());
    return undefined;
  }
}

/** RFC 6120 7.1: until it is done, the only ones to talk to are the server and the account. */
function isForUs(to: string | undefined, user: string, host: Host): boolean {
  if (to === undefined) return true;
  const full = Jid.parse(to)?.full;
  return full === host.domain || full === Jid.of(user, host.domain).full;
}

/** What a login has left: it lets a resource be bound for as long as what was proved holds. */
export interface Grant {
  /** The account's, when the proof was verified. */
  readonly epoch: number;
  /** Our name for the client, where it is known. */
  readonly client: string | undefined;
  /** The id of the token that was proved, unless that was its last time. */
  readonly token: string | undefined;
}

export interface Wish {
  readonly jid: Jid;
  readonly grant: Grant;
  /** What to do about others that have the resource. */
  readonly policy: ConflictPolicy;
}

/**
 * Binds a resource of an account that is authenticated.
 * @param prepare is given the session before anybody knows of it
 * @throws StanzaError `resource-constraint`, `conflict`; StreamError `not-authorized` when the login holds no longer: the account
 *   was removed or disabled, its password changed, or its client revoked
 */
export async function bindResource(
  host: Host,
  { jid, grant, policy }: Wish,
  stream: SessionStream,
  { sessions, settings }: C2sContext,
  prepare?: (session: Session) => void,
): Promise<Session> {
  const { client } = grant;
  const isGuest = host.settings.authentication === 'anonymous';
  if (!isGuest && !(await host.accounts.isCurrent(jid.local, grant.epoch))) throw new StreamError('not-authorized');
  const { sessionsPerAccount } = settings();
  // RFC 6120 7.6.2.1; whoever takes the place of a session of its own adds none
  const others = sessions.ofAccount(jid.bare);
  const isOwn = (other: Session): boolean =>
    other.jid.full === jid.full || (client !== undefined && clientOf(other) === client);
  if (others.length >= sessionsPerAccount && !others.some(isOwn)) {
    // whoever comes without coming back to a session of its own has probably left one behind
    const waiting = others.find((other) => other.stream === undefined);
    if (waiting === undefined) throw tooMany();
    await sessions.close(waiting);
  }
  const session = await sessions.bind(host, jid, stream, policy, (one) => {
    // nobody knows of it yet, and so there is nothing to wait for
    if (client !== undefined) void one.set(clientSlot, client);
    prepare?.(one);
  });
  if (session === undefined) throw new StanzaError('conflict', 'this resource is in use');
  if (!isGuest) await confirm(host, session, grant, sessions);
  // XEP-0386 3.2: a client that comes back has no use for the session that it left
  if (client !== undefined) {
    const error = new StreamError('conflict', 'this client has connected anew');
    // of two that come at the same time one has ended the other by now; which one has the address the directory has said
    const isLeft = (entry: SessionEntry): boolean =>
      !session.isOver && entry.sid !== session.sid && entry.jid.full !== jid.full && clientOf(entry) === client;
    await sessions.closings
      .closeAccount(jid.bare, error, isLeft, session.sid)
      .catch((failure: unknown) =>
        host.log.warn({ err: failure }, 'could not close a session that its client has left'),
      );
  }
  // others of the account may be on other nodes
  if (!(await sessions.closings.makeRoom(jid.bare, sessionsPerAccount))) {
    await sessions.close(session);
    throw tooMany();
  }
  return session;
}

function tooMany(): StanzaError {
  // XEP-0205 4.4
  const extra = el('resource-limit-exceeded', NS.applicationErrors);
  return new StanzaError('resource-constraint', 'too many sessions of this account', { extra });
}

/** Whoever takes a login back ends the sessions that are there; one that came just too late for that ends here. */
async function confirm({ accounts }: Host, session: Session, grant: Grant, sessions: Sessions): Promise<void> {
  const { epoch, client, token } = grant;
  const { local } = session.jid;
  let holds = false;
  try {
    holds = await accounts.isCurrent(local, epoch);
    if (client !== undefined && token !== undefined) holds &&= await accounts.clients.holds(local, client, token);
  } finally {
    if (!holds) await sessions.close(session);
  }
  if (!holds) throw new StreamError('not-authorized');
}

/** What nobody can guess. */
export function randomResource(): string {
  return randomBytes(9).toString('base64url');
}

/** RFC 6120 7.6, 7.7: what the client wishes for, else something that nobody can guess. */
function resourceFor(wish: string | undefined): string {
  if (wish === undefined || wish === '') return randomResource();
  const resource = prepareResource(wish);
  // RFC 6120 7.7.2.1
  if (resource === undefined) throw new StanzaError('bad-request', 'this cannot be a resource');
  return resource;
}
