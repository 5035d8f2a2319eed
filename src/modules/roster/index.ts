// RFC 6121 section 2: the roster. Item rules are in item.ts, subscription states in subscription.ts, storage in book.ts.
import { z } from 'zod';
import { pause } from '../../base/clock.ts';
import { mayReadRosters } from '../../config/components.ts';
import { sessionOut, streamFeatures } from '../../core/events.ts';
import { notify } from '../../core/hooks.ts';
import { defineModule, defineService, type IqRequest, iqGet, iqSet, on, provide } from '../../core/module.ts';
import { kv, map } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { rosterPortion } from '../portability/roster.ts';
import { formatVersion, interested, isForInterested, type Roster, RosterBook } from './book.ts';
import { Doubts } from './doubts.ts';
import { isVisible, itemElement, parseRosterSet, type RosterItem } from './item.ts';
import { SharedRoster } from './shared.ts';

export type { Roster, Transition } from './book.ts';
export { isFrom, isTo, isVisible, type RosterItem } from './item.ts';
export { interested };

export const roster = defineService<Roster>('roster');

/** A push, with what the client answers, takes as many bytes as this many items of a roster. */
const ITEMS_IN_A_PUSH = 3;
/** Before it is found out what became of a change, in milliseconds. */
const PAUSE = 1_000;

/** A contact was removed from a roster; `was` is what it was. Fired by this module. */
export const rosterItemRemoved = notify<{ readonly account: Jid; readonly contact: Jid; readonly was: RosterItem }>(
  'roster-item-removed',
);

/** A contact was added, removed or changed: subscriptions, groups, name. Fired by this module, on the node that changed it. */
export const rosterItemChanged = notify<{
  readonly account: Jid;
  readonly contact: Jid;
  readonly was: RosterItem | undefined;
  readonly is: RosterItem | undefined;
}>('roster-item-changed');

export default defineModule({
  xeps: ['RFC 6121'],
  summary: 'Contact lists with versions, kept on the server and pushed to every device',
  provides: [roster],
  config: z.strictObject({
    'max-items': z.int().min(1).prefault(5000).meta({ description: 'Contacts of one account, at most.' }),
    'max-groups': z.int().min(1).prefault(100).meta({ description: 'Groups of one contact, at most.' }),
    'max-requests': z
      .int()
      .min(1)
      .prefault(500)
      .meta({ description: 'Requests for presence that wait for an answer of one account, at most.' }),
  }),
  stores: { items: map<RosterItem>({ cache: true }), floors: kv<number>({ cache: true }) },

  setup({ host, config, stores, cluster, router, clock, background, signal }) {
    const doubt = (account: Jid, contact: Jid): void => doubts.note(account, contact);
    const book = new RosterBook({
      items: stores.items,
      floors: stores.floors,
      cluster,
      router,
      clock,
      limits: {
        maxItems: config['max-items'],
        maxRequests: config['max-requests'],
        maxRequestSize: 16_384,
        maxRemoved: 100,
      },
      watchers: [...host.grants.values()]
        .filter(({ privileges }) => mayReadRosters(privileges) && privileges['roster-push'])
        .map(({ component }) => component),
      tell: (push) => router.tell(push, host),
      doubt,
      removed: (account, contact, was) => host.notify(rosterItemRemoved, { account, contact, was }),
      changed: (account, contact, was, is) => host.notify(rosterItemChanged, { account, contact, was, is }),
    });
    const shared = new SharedRoster({ domain: host.domain, cluster, book, doubt });
    const doubts = new Doubts({
      // (of those who have gone meanwhile nothing is written)
      settle: async (account, contact) => {
        if (await host.accounts.exists(account.local)) await shared.settle(account, contact);
      },
      background,
      pause: () => pause(clock, PAUSE, signal),
    });
    const stopListening = shared.listen();
    // RFC 6121 2.1.2.4, 2.1.2.6: limits of our own; 1023 bytes is what a part of an address may have
    const itemLimits = { maxName: 1023, maxGroups: config['max-groups'] };

    async function getRoster({ iq, payload, session, afterReply }: IqRequest): Promise<Element | undefined> {
      const account = iq.to;
      // before reading: what changes from now on is pushed. Other nodes need not know: this one takes out what is not for its sessions
      session?.carry(interested, true);
      // what is not remembered is read as it is now
      if (!(await book.isFresh(account.local))) await shared.catchUp(account);
      // (only a session can be sent pushes in place of the roster)
      const known = session === undefined ? undefined : payload.attrs.ver;
      const changes = known === undefined ? undefined : await book.changesSince(account.local, known);
      if (changes?.length === 0) return undefined;
      const { items, version } = await book.current(account.local);
      const contacts = [...items].filter(([, item]) => isVisible(item));
      // 2.6.3: pushes, unless the whole roster is less to send
      if (changes !== undefined && changes.length * ITEMS_IN_A_PUSH < contacts.length) {
        afterReply(() => {
          for (const [contact, item] of changes) session?.deliver(book.pushFor(account, session.jid, contact, item));
        });
        return undefined;
      }
      const elements = contacts.map(([contact, item]) => itemElement(contact, item));
      return el('query', NS.roster, { ver: formatVersion(version) }, ...elements);
    }

    async function setRoster({ iq, payload }: IqRequest): Promise<void> {
      const account = iq.to;
      const request = parseRosterSet(payload, account.bare, itemLimits);
      if (request.kind === 'set') return shared.set(account, request.contact, request.name, request.groups);
      return shared.remove(account, request.contact);
    }

    // RFC 6121 2.1.5, 2.3.3: nobody sees or changes another's roster, but for components that may (XEP-0356 4.3)
    const forPrivileged =
      <T>(type: 'get' | 'set', handler: (request: IqRequest) => T) =>
      (request: IqRequest): T => {
        const { from } = request.iq;
        const granted = from.full === from.domain ? host.grants.get(from.domain)?.privileges.roster : undefined;
        if (granted !== type && granted !== 'both') throw new StanzaError('forbidden');
        return handler(request);
      };

    return {
      features: { server: [NS.roster] },
      portion: rosterPortion({ book, limits: itemLimits }),
      handlers: [
        provide(roster, shared),
        on(sessionOut, { phase: 'filter' }, ({ session, stanza }) =>
          isForInterested(stanza, session.jid) && session.get(interested) !== true ? 'handled' : undefined,
        ),
        iqGet('self', NS.roster, 'query', getRoster),
        iqSet('self', NS.roster, 'query', setRoster),
        iqGet('account', NS.roster, 'query', forPrivileged('get', getRoster)),
        iqSet('account', NS.roster, 'query', forPrivileged('set', setRoster)),
        on(streamFeatures, ({ stream, features }) => {
          if (stream.user === undefined) return;
          features.push(el('ver', NS.rosterver), el('sub', NS.preApproval));
        }),
      ],
      stop: stopListening,
    };
  },
});
