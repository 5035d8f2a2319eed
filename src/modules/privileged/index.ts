// XEP-0356: Privileged Entity. What a component may do in the name of people, where the configuration lets it. Rosters themselves
// are in roster/index.ts, and who is told of presence in watchers.ts.
//
// An IQ of the component stream's own namespace counts as one of jabber:client: the parser makes no difference between them.
import { randomBytes } from 'node:crypto';
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { Room } from '../../base/room.ts';
import { type Grant, mayReadRosters, type Privileges } from '../../config/components.ts';
import { componentGone, componentReady, presenceNews, serverIn } from '../../core/events.ts';
import type { Verdict } from '../../core/hooks.ts';
import { defineModule, iqGet, iqSet, on, type Registration } from '../../core/module.ts';
import type { Transit } from '../../core/transit.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { forwardedElement, forwardedIn } from '../../xmpp/forwarding.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, iqResult, type Message, messageOf, stanzaOf } from '../../xmpp/stanza.ts';
import { presenceBroadcast } from '../presence/index.ts';
import { roster as rosterService } from '../roster/index.ts';
import { Watchers } from './watchers.ts';

/** XEP-0356 says so for whatever a component is not allowed, and for whom it speaks wrongly. */
const forbidden = (text: string): StanzaError => new StanzaError('forbidden', text);

/** Requests in the name of accounts that may wait for their answers at a time, and the characters of their XML. */
const WAITING = { count: 20_000, size: 64 * 1024 * 1024 };
/** The same, of one component. */
const WAITING_OF_ONE = { count: 10_000, size: 32 * 1024 * 1024 };

export default defineModule({
  xeps: ['XEP-0356 0.4.1'],
  summary: 'Lets external components act in the name of people, as far as the configuration allows it',
  needs: [rosterService],

  setup({ host, router, cluster, clock, use, background, signal }) {
    const watchers = new Watchers({ host, router, cluster, clock, roster: use(rosterService), background, signal });
    const stopListening = watchers.listen();
    const room = new Room(WAITING, WAITING_OF_ONE);

    // 4.2, 5.2, 6.2, 7.2, 7.5
    function advertise({ component, was }: { readonly component: Jid; readonly was: Grant | undefined }): void {
      const now = host.grants.get(component.domain);
      const before = permissions(was?.privileges);
      const given = permissions(now?.privileges);
      if (given.map(textOf).join() !== before.map(textOf).join()) {
        const attrs = { from: host.domain, to: component.full, id: randomBytes(9).toString('base64url') };
        const message = el('message', null, attrs, el('privilege', NS.privilege, undefined, ...given));
        void router.tell(messageOf(message, host.jid, component), host);
      }
      if (now?.privileges.presence !== was?.privileges.presence) watchers.catchUp(component);
      // who was being asked when the settings changed was not asked to the end
      else watchers.ask(component);
    }

    function take(transit: Transit): MaybePromise<Verdict | undefined> {
      const { stanza } = transit;
      if (stanza.kind === 'message') {
        if (stanza.to.local !== '' || stanza.type === 'error') return undefined;
        const privilege = stanza.el.getChild('privilege', NS.privilege);
        return privilege === undefined ? undefined : sendMessage(transit, stanza, privilege);
      }
      if (stanza.kind === 'iq' && (stanza.type === 'get' || stanza.type === 'set')) {
        if (stanza.payload?.is('privileged_iq', NS.privilege)) return sendIq(stanza, stanza.payload);
      }
      return undefined;
    }

    // 5.1, 5.3
    function sendMessage(transit: Transit, { from: by }: Message, privilege: Element): MaybePromise<Verdict> {
      if (privilegesOf(by)?.message !== 'outgoing') return forbidden('you may not send messages for others');
      const inner = forwardedIn(privilege, 'message');
      if (inner === undefined) return new StanzaError('bad-request', 'there is no message of jabber:client to forward');
      const from = Jid.parse(inner.attrs.from ?? '');
      if (from?.isBare !== true || from.domain !== host.domain) {
        return forbidden(`a message is from ${host.domain}, or from a bare address there`);
      }
      const to = inner.attrs.to === undefined ? from : Jid.parse(inner.attrs.to);
      if (to === undefined) return new StanzaError('jid-malformed', 'the "to" address is not a JID');
      const message = messageOf(inner.with({ from: from.full, to: to.full }), from, to);
      if (from.local === '') return andThen(router.send(message, host), handled);
      if (isOfServer(inner)) return forbidden('that is for the server to say, and for nobody in its name');
      return andThen(host.accounts.exists(from.local), (exists) => {
        if (!exists) return forbidden('there is no such account');
        return andThen(router.fromAccount(host, message, by.domain), (unsettled) => {
          if (unsettled !== undefined) transit.settle(unsettled.settled);
          return handled();
        });
      });
    }

    // 6.3
    function sendIq(request: Iq, payload: Element): MaybePromise<Verdict> {
      const { from: by, to: account } = request;
      const privileges = privilegesOf(by);
      const children = payload.elements();
      const [inner] = children;
      if (children.length !== 1 || inner?.name !== 'iq') return new StanzaError('bad-request', 'one IQ is to be sent');
      const problem = problemOf(request, inner, privileges);
      if (problem !== undefined) return problem;
      const to = inner.attrs.to === undefined ? account : Jid.parse(inner.attrs.to);
      if (to === undefined) return new StanzaError('jid-malformed', 'the "to" address is not a JID');
      const element = inner.with({ from: account.full, to: to.full });
      // it is an IQ with an id and one child, or this throws
      stanzaOf(element, account, to);
      return andThen(host.accounts.exists(account.local), (exists) => {
        if (!exists) return forbidden('there is no such account');
        const size = element.toXml().length;
        if (!room.enter(by.domain, size))
          return new StanzaError('resource-constraint', 'too much of yours waits already');
        const work = forward(request, element, to).finally(() => room.leave(by.domain, size));
        background(work, 'a request in the name of an account');
        return handled();
      });
    }

    /** Under an id of ours, so that whoever answers cannot be mistaken for somebody else. */
    async function forward(request: Iq, element: Element, to: Jid): Promise<void> {
      const make = (id: string): Iq => stanzaOf(element.with({ id }), request.to, to) as Iq;
      const reply = await router.request(host, make, { by: request.from.domain, signal });
      const told = forwardedElement(reply.el.with({ id: element.attrs.id }));
      await router.send(iqResult(request, el('privilege', NS.privilege, undefined, told)), host);
    }

    /** What the component itself may do; those who live at its domain are not the component. */
    function privilegesOf(who: Jid): Privileges | undefined {
      return who.isBare && who.local === '' ? host.grants.get(who.domain)?.privileges : undefined;
    }

    // from clients, and for whatever else there is: nobody may that is no component
    const refuse = (): never => {
      throw forbidden('only components may');
    };
    const targets = ['self', 'account', 'nobody', 'host'] as const;
    const handlers: Registration[] = [
      on(componentReady, advertise),
      on(componentGone, ({ component }) => watchers.gone(component)),
      on(serverIn, { phase: 'handle' }, take),
      iqGet(targets, NS.privilege, 'privileged_iq', refuse),
      iqSet(targets, NS.privilege, 'privileged_iq', refuse),
    ];
    // these are on the way of all presence
    if (watchers.isWatched) handlers.push(on(presenceBroadcast, (event) => watchers.own(event)));
    if (watchers.areContactsWatched) handlers.push(on(presenceNews, (transit) => watchers.ofContact(transit)));
    return { handlers, stop: stopListening };
  },
});

/** 6.3: each of these is `forbidden`. */
function problemOf(
  { type, to: account }: Iq,
  inner: Element,
  privileges: Privileges | undefined,
): StanzaError | undefined {
  if (!account.isBare || account.local === '') return forbidden('an account is to be named by its bare address');
  if (inner.ns !== null) return forbidden('the IQ inside is one of jabber:client');
  if (inner.attrs.type !== type) return forbidden('both IQs have the same type');
  const { from } = inner.attrs;
  if (from !== undefined && Jid.parse(from)?.full !== account.full)
    return forbidden('the IQ inside is from the account');
  const [payload] = inner.elements();
  const granted = privileges?.iq.find(({ namespace }) => namespace === payload?.ns)?.type;
  return granted === type || granted === 'both' ? undefined : forbidden('you may not send such requests for others');
}

function permissions(privileges: Privileges | undefined): Element[] {
  if (privileges === undefined) return [];
  const { roster, message, presence, iq } = privileges;
  const perm = (access: string, type: string | undefined, ...children: Element[]): Element =>
    el('perm', NS.privilege, { access, type }, ...children);
  const push = mayReadRosters(privileges) && privileges['roster-push'];
  const list: Element[] = [];
  if (roster !== 'none') list.push(perm('roster', roster).with({ push: String(push) }));
  if (message !== 'none') list.push(perm('message', message));
  const namespaces = iq.map(({ namespace: ns, type }) => el('namespace', NS.privilege, { ns, type }));
  if (namespaces.length > 0) list.push(perm('iq', undefined, ...namespaces));
  if (presence !== 'none') list.push(perm('presence', presence));
  return list;
}

/**
 * 9, rule 4: what no client of an account could send, since it would be from one of its resources. From the account itself it is
 * believed: that it is a copy, or out of the archive, and who had sent what is in it (XEP-0280 11, XEP-0313 7).
 */
function isOfServer(message: Element): boolean {
  return (
    message.getChild('sent', NS.carbons) !== undefined ||
    message.getChild('received', NS.carbons) !== undefined ||
    message.getChild('result', NS.mam) !== undefined
  );
}

const textOf = (element: Element): string => element.toXml();

function handled(): 'handled' {
  return 'handled';
}
