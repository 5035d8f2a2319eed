// Bind 2 (XEP-0386): a resource bound inside SASL2, with what the client wants enabled for its session.
//
// Resources are the client's tag and a part of ours, which is the same whenever the same client comes with the same tag.
//
// Not done, of what it asks for:
// - 3.2: offline messages are not cleared: a client that never reads the archive would lose them
import { bind2Features, bind2Inline, type ClientStream } from '../core/events.ts';
import type { Host } from '../core/host.ts';
import type { Session, SessionStream } from '../core/sessions.ts';
import { type Element, el } from '../xml/element.ts';
import { SaslError, StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { bindResource, randomResource } from './bind.ts';
import type { C2sContext } from './context.ts';
import type { Login } from './sasl2.ts';

/** 3.1: the inline feature, with what can be asked for inside. */
export async function bind2Feature(host: Host, stream: ClientStream): Promise<Element> {
  const namespaces: string[] = [];
  await host.collect(bind2Features, { stream, namespaces });
  if (namespaces.length === 0) return el('bind', NS.bind2);
  const features = namespaces.map((name) => el('feature', NS.bind2, { var: name }));
  return el('bind', NS.bind2, undefined, el('inline', NS.bind2, undefined, ...features));
}

/**
 * Binds a resource for a login that asks for one.
 * @returns the session, and what `<success/>` says of it
 * @throws SaslError when the account has too many sessions
 */
export async function bindInline(
  host: Host,
  login: Login,
  client: string | undefined,
  stream: SessionStream,
  context: C2sContext,
): Promise<{ readonly session: Session; readonly bound: Element } | undefined> {
  const { bind, agent } = login.request;
  if (bind === undefined) return undefined;
  const ours =
    agent.id === undefined || login.isAnonymous
      ? randomResource()
      : host.accounts.clients.resourceOf(login.user, agent.id, bind.tag ?? '');
  // 3.2.1
  const jid = Jid.of(login.user, host.domain, bind.tag === undefined ? ours : `${bind.tag}/${ours}`);
  const session = await bindOrFail(host, { jid, client, policy: 'replace' }, stream, context);
  const answers: Element[] = [];
  await host.collect(bind2Inline, { session, request: bind.element, bound: answers });
  return { session, bound: el('bound', NS.bind2, undefined, ...answers) };
}

/** There is no answer for it in Bind 2; a login that cannot have its session has failed, and may be tried again later. */
async function bindOrFail(...request: Parameters<typeof bindResource>): Promise<Session> {
  try {
    return await bindResource(...request);
  } catch (error) {
    if (error instanceof StanzaError) throw new SaslError('temporary-auth-failure', error.text);
    throw error;
  }
}
