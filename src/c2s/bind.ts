// Resource binding (RFC 6120 7).
import { randomBytes } from 'node:crypto';
import type { Host } from '../core/host.ts';
import type { Session, SessionStream } from '../core/sessions.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { Jid, prepareResource } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { errorReply } from '../xmpp/stanza.ts';
import type { C2sContext } from './context.ts';

/**
 * Answers an IQ on an authenticated stream; the session, when it was a request to bind and could be met.
 * @throws StreamError `not-authorized` for anything but a request to bind
 */
export async function answerBind(
  iq: Element,
  host: Host,
  user: string,
  stream: SessionStream,
  context: C2sContext,
): Promise<Session | undefined> {
  const bind = iq.getChild('bind', NS.bind);
  if (bind === undefined || !isForUs(iq.attrs.to, user, host)) {
    throw new StreamError('not-authorized', 'bind a resource first');
  }
  try {
    if (iq.attrs.type !== 'set' || iq.attrs.id === undefined) throw new StanzaError('bad-request');
    const session = await bindResource(bind, host, user, stream, context);
    const jid = el('bind', NS.bind, undefined, el('jid', NS.bind, undefined, session.jid.full));
    stream.send(el('iq', null, { type: 'result', id: iq.attrs.id }, jid).toXml());
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

async function bindResource(
  bind: Element,
  host: Host,
  user: string,
  stream: SessionStream,
  { sessions, settings }: C2sContext,
): Promise<Session> {
  // the account may have been removed or disabled since it was authenticated
  if (host.settings.authentication === 'accounts' && (await host.accounts.facts(user))?.isDisabled !== false) {
    throw new StreamError('not-authorized');
  }
  const { sessionsPerAccount } = settings();
  const jid = Jid.of(user, host.domain, resourceFor(bind.getChildText('resource')));
  const others = sessions.ofAccount(jid.bare);
  // RFC 6120 7.6.2.1; whoever takes the place of a session of its own adds none
  if (others.length >= sessionsPerAccount && !others.some((other) => other.jid.full === jid.full)) {
    throw new StanzaError('resource-constraint', 'too many sessions of this account');
  }
  const session = await sessions.bind(host, jid, stream, host.settings['resource-conflict']);
  if (session === undefined) throw new StanzaError('conflict', 'this resource is in use');
  return session;
}

/** RFC 6120 7.6, 7.7: what the client wishes for, else something that nobody can guess. */
function resourceFor(wish: string | undefined): string {
  if (wish === undefined || wish === '') return randomBytes(9).toString('base64url');
  const resource = prepareResource(wish);
  // RFC 6120 7.7.2.1
  if (resource === undefined) throw new StanzaError('bad-request', 'this cannot be a resource');
  return resource;
}
