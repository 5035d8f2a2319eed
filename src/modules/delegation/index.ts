// XEP-0355: Namespace Delegation, in admin mode: requests of certain namespaces are answered by a component in the host's place.
// What service discovery tells of them is in nesting.ts.
//
// Not done, of what it recommends:
// - 4, 5: client mode, in which a user chooses who answers; a request for it is `forbidden`
// - 4.2: the connection of a component that answers wrongly is not closed
import { randomBytes } from 'node:crypto';
import { Room } from '../../base/room.ts';
import { type Delegation, type Grant, REMAINING_INFO, REMAINING_ITEMS } from '../../config/components.ts';
import { componentGone, componentReady, iqAnswer } from '../../core/events.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, defineService, iqGet, iqSet, on, provide, type Registration } from '../../core/module.ts';
import type { Transit } from '../../core/transit.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { forwardedElement, forwardedIn } from '../../xmpp/forwarding.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { errorReply, type Iq, messageOf, stanzaOf } from '../../xmpp/stanza.ts';
import { type Nested, Nesting } from './nesting.ts';

export type { Nested } from './nesting.ts';

/** What others have to know of delegated namespaces. */
export interface Delegations {
  /** What disco#info tells of them; another object whenever it has changed. */
  readonly nested: Nested;
}
export const delegations = defineService<Delegations>('delegations');

/** Requests that may wait for components at a time, and the characters of their XML. */
const WAITING = { count: 10_000, size: 64 * 1024 * 1024 };
/** The same, of one account, or of everybody at a domain elsewhere. */
const WAITING_OF_ONE = { count: 500, size: 4 * 1024 * 1024 };

interface Owner {
  readonly component: Jid;
  readonly attributes: readonly string[];
}

export default defineModule({
  xeps: ['XEP-0355 0.5'],
  summary: 'Hands requests of certain namespaces to external components, as the configuration says',
  provides: [delegations],
  metrics: {
    forwarded: counter('Requests handed to components'),
    failed: counter('Requests that the component did not answer, or not as it should'),
  },

  setup({ host, router, cluster, metrics, background, signal, log }) {
    const owners = ownersOf(host.grants.values());
    const nesting = new Nesting({ host, router, cluster, background, signal, log });
    const stopListening = nesting.listen();
    const room = new Room(WAITING, WAITING_OF_ONE);

    // 4.1; 7, rule 3
    function advertise({ component, was }: { readonly component: Jid; readonly was: Grant | undefined }): void {
      const now = host.grants.get(component.domain)?.delegations ?? [];
      const given = now.map(delegatedElement);
      const before = (was?.delegations ?? []).map(delegatedElement);
      if (given.map(textOf).join() !== before.map(textOf).join()) {
        const attrs = { from: host.domain, to: component.full, id: randomBytes(9).toString('base64url') };
        const message = el('message', null, attrs, el('delegation', NS.delegation, undefined, ...given));
        void router.tell(messageOf(message, host.jid, component), host);
      }
      nesting.ask(component);
    }

    // 4.2
    function intercept(transit: Transit<Iq>): 'handled' | undefined {
      const { stanza, origin } = transit;
      const owner = ownerOf(stanza);
      if (owner === undefined) return undefined;
      // 4.2.1: also when it speaks for somebody else
      const by = origin.kind === 'account' ? origin.by : stanza.from.domain;
      if (by === owner.component.domain) return undefined;
      background(handOver(stanza, owner.component), 'a delegated request');
      return 'handled';
    }

    function ownerOf({ payload, to }: Iq): Owner | undefined {
      if (payload === undefined || payload.ns === null) return undefined;
      const { ns, attrs } = payload;
      if (to.local !== '' && payload.name === 'query') {
        // 6.2.4: accounts have no nodes of the server's own
        if (ns === NS.discoInfo) return isNode(attrs.node) ? owners.get(REMAINING_INFO) : undefined;
        // 6.2.5
        if (ns === NS.discoItems) return owners.get(REMAINING_ITEMS);
      }
      const owner = owners.get(ns);
      // 4.2, N.B. 3
      return owner?.attributes.every((name) => Object.hasOwn(attrs, name)) ? owner : undefined;
    }

    /** Nobody waits for it: the next requests are served meanwhile (8.3). */
    async function handOver(request: Iq, component: Jid): Promise<void> {
      const who = request.from.domain === host.domain ? request.from.bare : request.from.domain;
      const size = request.el.toXml().length;
      const answer = room.enter(who, size)
        ? await ask(request, component).finally(() => room.leave(who, size))
        : undefined;
      if (answer !== undefined) return router.send(answer, host);
      metrics.failed.inc();
      const error = new StanzaError('service-unavailable');
      const refusal = errorReply(request.el, request.to.full, request.from.full, error);
      if (refusal !== undefined) await router.send(stanzaOf(refusal, request.to, request.from), host);
    }

    async function ask(request: Iq, component: Jid): Promise<Iq | undefined> {
      metrics.forwarded.inc();
      const delegation = el('delegation', NS.delegation, undefined, forwardedElement(request.el));
      const attrs = { type: 'set', from: host.domain, to: component.full };
      const make = (id: string): Iq =>
        stanzaOf(el('iq', null, { ...attrs, id }, delegation), host.jid, component) as Iq;
      const reply = await router.request(host, make, { signal });
      return reply.type === 'result' ? answerIn(reply, request) : undefined;
    }

    // 7, rule 5; and nothing else can be asked for either, since only the operator delegates
    const refuse = (): never => {
      throw new StanzaError('forbidden', 'the operator of the server decides what is delegated');
    };
    const targets = ['self', 'account', 'nobody', 'host'] as const;
    const handlers: Registration[] = [
      provide(delegations, nesting),
      on(componentReady, advertise),
      on(componentGone, ({ component }) => nesting.forget(component)),
      iqGet(targets, NS.delegation, 'query', refuse),
      iqSet(targets, NS.delegation, 'query', refuse),
    ];
    // this one is on the way of all requests
    if (owners.size > 0) handlers.push(on(iqAnswer, { phase: 'delegate' }, intercept));
    return { features: { server: [NS.delegation] }, handlers, stop: stopListening };
  },
});

function ownersOf(grants: Iterable<Grant>): ReadonlyMap<string, Owner> {
  const owners = new Map<string, Owner>();
  for (const { component, delegations: given } of grants) {
    for (const { namespace, attributes } of given) owners.set(namespace, { component, attributes });
  }
  return owners;
}

/** 4.2: the answer in a component's result, if it is one to the request. */
function answerIn(reply: Iq, request: Iq): Iq | undefined {
  const delegation = reply.payload?.is('delegation', NS.delegation) ? reply.payload : undefined;
  const inner = delegation && forwardedIn(delegation, 'iq');
  if (inner === undefined || inner.attrs.type !== 'result' || inner.attrs.id !== request.id) return undefined;
  const { from, to } = inner.attrs;
  if (Jid.parse(to ?? '')?.full !== request.from.full) return undefined;
  // (it need not say whom it is from: that is whoever was asked)
  if (from !== undefined && Jid.parse(from)?.full !== request.to.full) return undefined;
  const element = inner.with({ from: request.to.full, to: request.from.full });
  return element.elements().length > 1 ? undefined : (stanzaOf(element, request.to, request.from) as Iq);
}

function delegatedElement({ namespace, attributes }: Delegation): Element {
  const names = attributes.map((name) => el('attribute', NS.delegation, { name }));
  return el('delegated', NS.delegation, { namespace }, ...names);
}

/** An empty node attribute asks for no node. */
function isNode(node: string | undefined): boolean {
  return node !== undefined && node !== '';
}

const textOf = (element: Element): string => element.toXml();
