// Who hears of what happens at a node (XEP-0060 4.2, 6.1.6, 12.6, 12.16): subscribers, with what they have chosen, and those who listen without.
//
// - 12.6: whether somebody is online is known of the people of this server. For others it is their server's affair: a headline to a bare JID
//   goes to nobody but those who are online (RFC 6121 8.5.2).
// - 12.4 SHOULD: what comes back undelivered ends no subscription: servers answer so for people who are merely away.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { mayNotRead } from './access.ts';
import type { AccessModel } from './config.ts';
import { type Hearer, isActive, type Node, optionsOf } from './node.ts';
import { eventMessage, type Letterhead, withSubids } from './notices.ts';
import type { SubscriptionRow } from './rows.ts';
import type { Service, Shelf } from './shelf.ts';

export function letterhead({ jid, ports }: Service, { config }: Pick<Node, 'config'>): Letterhead {
  return { from: jid, id: ports.newId(), type: config.notificationType };
}

/**
 * Tells everybody of an event, in the order in which this is called for a node. Nobody waits for it.
 * @param when what has to have happened before
 */
export function notifyAll(shelf: Shelf, node: Node, event: Element): void {
  if (!node.config.deliversNotifications) return;
  const message = eventMessage(letterhead(shelf, node), event);
  shelf.inOrder(node.name, 'notifying subscribers', () =>
    andThen(subscribers(shelf, node), (explicit) =>
      andThen(shelf.ports.listeners(node), (others) =>
        deliver(shelf, message, explicit, others, event.name === 'items'),
      ),
    ),
  );
}

/** Sends one message to people, in its turn. */
export function notifyOne(shelf: Shelf, node: Node, message: Element, to: readonly Jid[]): void {
  if (to.length > 0) shelf.inOrder(node.name, 'notifying somebody', () => shelf.ports.tell(message, to));
}

/**
 * One element for all that hear the same; another one for each who has to be told under which subscriptions: of items alone (12.16).
 * @param others who hear without having subscribed: there may be thousands
 */
function deliver(
  shelf: Shelf,
  message: Element,
  explicit: readonly Hearer[],
  others: readonly Jid[],
  isOfItems: boolean,
): void {
  let plain = others;
  if (explicit.length > 0) {
    // whoever has subscribed by the same address hears it once
    const known = new Set(explicit.map(({ jid }) => jid.full));
    const told: Jid[] = [];
    for (const { jid, subids } of explicit) {
      if (subids.length < 2 || !isOfItems) told.push(jid);
      else shelf.ports.tell(withSubids(message, subids), [jid]);
    }
    for (const jid of others) if (!known.has(jid.full)) told.push(jid);
    plain = told;
  }
  if (plain.length > 0) shelf.ports.tell(message, plain);
}

/** Those who have subscribed, may still read, and want to hear now. */
function subscribers(shelf: Shelf, node: Node): MaybePromise<readonly Hearer[]> {
  if (node.audience !== undefined) return node.audience;
  const now = shelf.ports.now();
  const found: Hearer[] = [];
  let isLasting = !node.config.isPresenceBased && !byRoster.has(node.config.accessModel) && node.head === undefined;
  let waiting: Promise<void>[] | undefined;
  for (const [bare, { subscriptions }] of node.entities) {
    if (subscriptions === undefined) continue;
    if (subscriptions.some(({ options }) => options !== undefined)) isLasting = false;
    const active = subscriptions.filter((one) => isActive(one, now) && optionsOf(one).deliver);
    if (active.length === 0) continue;
    const done = hearersOf(shelf, node, Jid.parse(bare)!, active, found);
    if (!isPromise(done)) continue;
    waiting ??= [];
    waiting.push(done);
  }
  if (isLasting) node.audience = found;
  return waiting === undefined ? found : Promise.all(waiting).then(() => found);
}

/** Who may read depends on rosters. */
const byRoster: ReadonlySet<AccessModel> = new Set(['presence', 'roster']);

/** Of one person: by each address once (6.1.6). */
function hearersOf(
  shelf: Shelf,
  node: Node,
  person: Jid,
  active: readonly SubscriptionRow[],
  found: Hearer[],
): MaybePromise<void> {
  return andThen(mayNotRead(shelf, node, person), (reason) => {
    if (reason !== undefined) return undefined;
    const byAddress = new Map<string, SubscriptionRow[]>();
    for (const one of active) byAddress.set(one.jid, [...(byAddress.get(one.jid) ?? []), one]);
    const looks: Promise<void>[] = [];
    for (const [address, subscriptions] of byAddress) {
      const jid = Jid.parse(address)!;
      const looked = andThen(isHere(shelf, node, jid), (is) => {
        if (is) found.push({ jid, subids: subscriptions.map(({ subid }) => subid) });
      });
      if (isPromise(looked)) looks.push(looked);
    }
    return looks.length > 0 ? Promise.all(looks).then(() => {}) : undefined;
  });
}

/** Whether somebody is to hear now, where only those are who are online (12.6). */
function isHere({ ports }: Shelf, { config }: Node, jid: Jid): MaybePromise<boolean> {
  return config.isPresenceBased ? andThen(ports.people.isPresent(jid), (is) => is !== false) : true;
}
