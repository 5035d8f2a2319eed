// With whom of other servers a host and its services talk, as administrators say while the server runs (XEP-0133 4.11, 4.12): a list of those who
// are kept away, and one of those who are let in. The settings (`s2s.policy`) come first, and are about whole domains.
//
// - XEP-0133 4.11 SHOULD, the order of XEP-0016: an address matches by itself, by its account, by its domain.
// - Lists hold in both directions, and for rooms and nodes too; `forbidden` tells either side. Leave is taken always, as in modules/roles.ts.
import { andThen, isPromise, type MaybePromise } from '../base/maybe.ts';
import type { AdminPeers } from '../core/admin-services.ts';
import { serverIn, serverOut } from '../core/events.ts';
import type { Verdict } from '../core/hooks.ts';
import type { Host } from '../core/host.ts';
import { defineModule, defineService, on, provide } from '../core/module.ts';
import { kv } from '../storage/specs.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { BlockList } from './blocking/list.ts';
import { passesIn, passesOut } from './roles.ts';

interface Peers extends AdminPeers {
  /** Whether the lists let somebody in. */
  lets(who: Jid): MaybePromise<boolean>;
}
export const peers = defineService<Peers>('peers');

/** Under the owner `''`. */
interface Lists {
  readonly blocked?: readonly string[];
  readonly allowed?: readonly string[];
}

export default defineModule({
  xeps: [],
  summary: 'Keeps away from other servers those whom administrators have put on a list',
  hosts: ['users', 'rooms', 'pubsub', 'upload'],
  provides: [peers],
  stores: { lists: kv<Lists>({ cache: true }) },

  setup({ host, stores, router }) {
    // what the store remembers is the same object each time
    const read = new WeakMap<Lists, { readonly blocked: BlockList; readonly allowed: BlockList | undefined }>();

    function judge(lists: Lists | undefined, who: Jid): boolean {
      if (lists === undefined) return true;
      let known = read.get(lists);
      if (known === undefined) {
        const { blocked = [], allowed = [] } = lists;
        known = { blocked: new BlockList(blocked), allowed: allowed.length > 0 ? new BlockList(allowed) : undefined };
        read.set(lists, known);
      }
      return !known.blocked.has(who) && known.allowed?.has(who) !== false;
    }

    async function change(change: (lists: Lists) => Lists): Promise<void> {
      await stores.lists.update('', (lists) => change(lists ?? {}));
    }

    const service: Peers = {
      blocked: () => andThen(stores.lists.get(''), (lists) => lists?.blocked ?? []),
      allowed: () => andThen(stores.lists.get(''), (lists) => lists?.allowed ?? []),
      setBlocked: (blocked) => change((lists) => ({ ...lists, blocked })),
      setAllowed: (allowed) => change((lists) => ({ ...lists, allowed })),
      lets: (who) => andThen(stores.lists.get(''), (lists) => judge(lists, who)),
    };

    function check(who: Jid): MaybePromise<Verdict | undefined> {
      const lets = listsOf(host)?.lets(who) ?? true;
      return isPromise(lets) ? lets.then(refusal) : refusal(lets);
    }

    /** Services have the lists of the host above. */
    function listsOf({ parent }: Host): Peers | undefined {
      return parent === undefined ? service : parent.find(peers);
    }

    return {
      handlers: [
        provide(peers, service),
        on(serverOut, { phase: 'check' }, (transit) => (passesOut(transit) ? undefined : check(transit.stanza.to))),
        on(serverIn, { phase: 'check' }, ({ stanza, origin }) =>
          origin.kind !== 'server' || !router.isForeign(origin.domain) || passesIn(stanza)
            ? undefined
            : check(stanza.from),
        ),
      ],
    };
  },
});

const refusal = (lets: boolean): Verdict | undefined =>
  lets ? undefined : new StanzaError('forbidden', 'by a list of its administrators the two do not talk');
