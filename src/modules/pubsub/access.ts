// Who may do what at a node (XEP-0060 4.1, 4.5, 6.1.3, 6.5.1, 7.1.3.1).
//
// - 6.5.1 lets only subscribers read where the access model is `whitelist`, 4.1 members too: they may.
// - 6.1.3.5, 6.5.9.10: nobody pays.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Affiliation } from './config.ts';
import { forbidden, pubsubError } from './errors.ts';
import { isActive, type Node } from './node.ts';
import type { Contact, ServicePorts } from './ports.ts';
import type { Service, Shelf } from './shelf.ts';

/** What somebody is to a node: what its owners say, unless the service knows better. */
export function affiliationAt({ ports }: Service, node: Node, who: Jid): Affiliation {
  return ports.policy.standing(who) ?? node.affiliationOf(who.bare);
}

/** @throws StanzaError `forbidden` for all but owners */
export function checkOwner(service: Service, node: Node, who: Jid): void {
  if (affiliationAt(service, node, who) !== 'owner') throw forbidden('this is for owners');
}

/** Changes a node in its turn, for an owner. @throws StanzaError `forbidden` for others, `item-not-found`, `gone` */
export function asOwner<T>(
  shelf: Shelf,
  name: string,
  who: Jid,
  change: (node: Node) => MaybePromise<T>,
): MaybePromise<T> {
  return shelf.run(name, () =>
    andThen(shelf.get(name), (node) => {
      checkOwner(shelf, node, who);
      return change(node);
    }),
  );
}

/** @throws StanzaError `not-allowed` where the service itself says what the node has */
export function checkItemsAreTheirs({ isManaged }: Node): void {
  if (isManaged) throw new StanzaError('not-allowed', 'the service looks after what is here');
}

/** @throws StanzaError `not-allowed` where that is said at another node, or by the service */
export function checkStandsAlone({ head, isManaged }: Node): void {
  if (head === undefined && isManaged) throw new StanzaError('not-allowed', 'the service looks after this node');
  if (head !== undefined) throw new StanzaError('not-allowed', `that is as at the node "${head.name}"`);
}

/** Whether somebody has a subscription that counts, which was approved where that is asked for. */
export function isSubscribed({ ports }: Service, node: Node, who: Jid): boolean {
  const now = ports.now();
  return node.judge.subscriptionsOf(who.bare).some((one) => isActive(one, now));
}

/** Why somebody may not read; undefined where they may. */
export function mayNotRead(service: Service, node: Node, who: Jid): MaybePromise<StanzaError | undefined> {
  const byAffiliation = byAffiliationAlone(affiliationAt(service, node, who));
  if (byAffiliation !== undefined) return byAffiliation === 'may' ? undefined : byAffiliation;
  if (node.config.accessModel === 'authorize' && !isSubscribed(service, node, who)) {
    return pubsubError('not-subscribed', undefined, 'not-authorized');
  }
  return closedTo(service, node, who);
}

/** Why somebody may not subscribe; undefined where they may, if only after an owner has agreed (`authorize`). */
export function mayNotSubscribe(service: Service, node: Node, who: Jid): MaybePromise<StanzaError | undefined> {
  const byAffiliation = byAffiliationAlone(affiliationAt(service, node, who));
  if (byAffiliation !== undefined) return byAffiliation === 'may' ? undefined : byAffiliation;
  // owners are asked at the other node
  return node.head === undefined ? closedTo(service, node, who) : mayNotRead(service, node, who);
}

/** 4.1: who is anything to the node may or may not, whatever its access model. */
function byAffiliationAlone(affiliation: Affiliation): 'may' | StanzaError | undefined {
  switch (affiliation) {
    case 'owner':
    case 'publisher':
    case 'member':
      return 'may';
    case 'publish-only':
    case 'outcast':
      return forbidden();
    case 'none':
      return undefined;
  }
}

/** 4.5, for somebody without an affiliation. */
function closedTo({ ports }: Service, node: Node, who: Jid): MaybePromise<StanzaError | undefined> {
  const { accessModel, rosterGroups } = node.config;
  switch (accessModel) {
    case 'open':
    case 'authorize':
      return undefined;
    case 'whitelist':
      return pubsubError('closed-node');
    case 'presence':
      return andThen(anyOwner(contactOf(ports), node, who, isFrom), (may) =>
        may ? undefined : pubsubError('presence-subscription-required'),
      );
    case 'roster': {
      const isInGroup = (contact: Contact): boolean =>
        contact.isFrom && contact.groups.some((group) => rosterGroups.includes(group));
      return andThen(anyOwner(contactOf(ports), node, who, isInGroup), (may) =>
        may ? undefined : pubsubError('not-in-roster-group'),
      );
    }
  }
}

const isFrom = (contact: Contact): boolean => contact.isFrom;

/** (the port may be an object with a state) */
const contactOf =
  ({ people }: ServicePorts): Look =>
  (owner, who) =>
    people.contact(owner, who);

type Look = (owner: string, who: Jid) => MaybePromise<Contact | undefined>;

function anyOwner(contact: Look, node: Node, who: Jid, matches: (contact: Contact) => boolean): MaybePromise<boolean> {
  const owners = node.affiliated('owner');
  const from = (index: number): MaybePromise<boolean> => {
    const owner = owners[index];
    if (owner === undefined) return false;
    return andThen(contact(owner, who), (found) => (found !== undefined && matches(found) ? true : from(index + 1)));
  };
  return from(0);
}

/** @throws StanzaError `forbidden` where somebody may not publish */
export function checkPublisher(service: Service, node: Node, who: Jid): void {
  if (node.isManaged) throw forbidden('the service alone publishes here');
  switch (affiliationAt(service, node, who)) {
    case 'owner':
    case 'publisher':
    case 'publish-only':
      return;
    case 'outcast':
      throw forbidden();
    case 'member':
    case 'none': {
      const { publishModel } = node.config;
      if (publishModel === 'open') return;
      if (publishModel === 'subscribers' && isSubscribed(service, node, who)) return;
      throw forbidden('this node is for others to publish at');
    }
  }
}
