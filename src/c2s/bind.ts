// Resource binding (RFC 6120 7), and the session that comes of it.
import { randomBytes } from 'node:crypto';
import type { Host } from '../core/host.ts';
import { type ConflictPolicy, clientOf, clientSlot, type Session, type SessionStream } from '../core/sessions.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { Jid, prepareResource } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { errorReply } from '../xmpp/stanza.ts';
import type { C2sContext } from './context.ts';

/**
 * Answers an IQ on an authenticated stream; the session, when it was a request to bind and could be met.
 * @param client our name for the client, where it is known
 * @throws StreamError `not-authorized` for anything but a request to bind
 */
export async function answerBind(
  iq: Element,
  host: Host,
  user: string,
  client: string | undefined,
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
    const session = await bindResource(
      host,
      { jid, client, policy: host.settings['resource-conflict'] },
      stream,
      context,
    );
    if (client !== undefined) await host.accounts.clients.bound(user, client);
    const bound = el('bind', NS.bind, undefined, el('jid', NS.bind, undefined, session.jid.full));
    stream.send(el('iq', null, { type: 'result', id: iq.attrs.id }, bound).toXml());
    return session;
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error;
    const reply = errorReply(iq, host.domain, Jid.of(user, host.domain).full, error);
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

export interface Wish {
  readonly jid: Jid;
  /** Our name for the client, where it is known. */
  readonly client: string | undefined;
  /** What to do about others that have the resource. */
  readonly policy: ConflictPolicy;
}

/**
 * Binds a resource of an account that is authenticated.
 * @param prepare is given the session before anybody knows of it
 * @throws StanzaError `resource-constraint`, `conflict`; StreamError `not-authorized` when there is no such account any more
 */
export async function bindResource(
  host: Host,
  { jid, client, policy }: Wish,
  stream: SessionStream,
  { sessions, settings }: C2sContext,
  prepare?: (session: Session) => void,
): Promise<Session> {
  // the account may have been removed or disabled since it was authenticated
  if (host.settings.authentication === 'accounts' && (await host.accounts.facts(jid.local))?.isDisabled !== false) {
    throw new StreamError('not-authorized');
  }
  const { sessionsPerAccount } = settings();
  // RFC 6120 7.6.2.1; whoever takes the place of a session of its own adds none
  const others = sessions.ofAccount(jid.bare);
  const isOwn = (other: Session): boolean =>
    other.jid.full === jid.full || (client !== undefined && clientOf(other) === client);
  if (others.length >= sessionsPerAccount && !others.some(isOwn)) {
    // whoever comes without coming back to a session of its own has probably left one behind
    const waiting = others.find((other) => other.stream === undefined);
    if (waiting === undefined) throw new StanzaError('resource-constraint', 'too many sessions of this account');
    await sessions.close(waiting);
  }
  const session = await sessions.bind(host, jid, stream, policy, (one) => {
    // nobody knows of it yet, and so there is nothing to wait for
    if (client !== undefined) void one.set(clientSlot, client);
    prepare?.(one);
  });
  if (session === undefined) throw new StanzaError('conflict', 'this resource is in use');
  // XEP-0386 3.2: a client that comes back has no use for the session that it left
  if (client !== undefined) {
    const error = new StreamError('conflict', 'this client has connected anew');
    await sessions
      .closeAccount(jid.bare, error, (entry) => entry.sid !== session.sid && clientOf(entry) === client)
      .catch((failure: unknown) =>
        host.log.warn({ err: failure }, 'could not close a session that its client has left'),
      );
  }
  return session;
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
