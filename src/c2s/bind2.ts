// Bind 2 (XEP-0386): a resource bound inside SASL2, with what the client wants enabled for its session.
//
// Resources are the client's tag and a part of ours, which is the same whenever the same client comes with the same tag.
import { bind2Features, bind2Inline, type ClientStream } from '../core/events.ts';
import type { Host } from '../core/host.ts';
import type { Session } from '../core/sessions.ts';
import { type Element, el } from '../xml/element.ts';
import { SaslError, StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { bindResource, type Grant, randomResource } from './bind.ts';
import type { C2sContext } from './context.ts';
import { HeldStanzas } from './held-stanzas.ts';
import type { Login } from './sasl2.ts';
import type { Carrier } from './sm-session.ts';

/** 3.1: the inline feature, with what can be asked for inside. */
export async function bind2Feature(host: Host, stream: ClientStream): Promise<Element> {
  const namespaces: string[] = [NS.sm];
  await host.collect(bind2Features, { stream, namespaces });
  const features = namespaces.map((name) => el('feature', NS.bind2, { var: name }));
  return el('bind', NS.bind2, undefined, el('inline', NS.bind2, undefined, ...features));
}

/** A session that is there, and of which its client has not been told. */
export interface Binding {
  readonly session: Session;
  /** What `<success/>` says of it; to be written at once, for stream management counts from here on. */
  complete(): Element;
  /** Writes what others have said to it meanwhile; right after success was written. */
  release(): void;
}

/**
 * Binds a resource for a login that asks for one; nothing is written to its stream until it is released.
 * @throws SaslError when the account has too many sessions
 */
export async function bindInline(
  host: Host,
  login: Login,
  grant: Grant,
  carrier: Carrier,
  context: C2sContext,
): Promise<Binding | undefined> {
  const { bind, agent } = login.request;
  if (bind === undefined) return undefined;
  const ours =
    agent.id === undefined || login.isAnonymous
      ? randomResource()
      : host.accounts.clients.resourceOf(login.user, agent.id, bind.tag ?? '');
  // 3.2.1
  const jid = Jid.of(login.user, host.domain, bind.tag === undefined ? ours : `${bind.tag}/${ours}`);
  // what is sent to it before its client knows of it
  const held = new HeldStanzas(context.router);
  const session = await bindOrFail(host, { jid, grant, policy: 'replace' }, carrier, context, (one) =>
    held.holdFor(one),
  );
  const answers: Element[] = [];
  await host.collect(bind2Inline, { session, request: bind.element, bound: answers });
  return {
    session,
    complete() {
      held.letGo();
      const enable = bind.element.getChild('enable', NS.sm);
      const enabled = enable === undefined ? [] : [context.sm.enable(session, carrier, enable)];
      return el('bound', NS.bind2, undefined, ...enabled, ...answers);
    },
    release: () => held.release(),
  };
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
