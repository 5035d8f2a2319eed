// The affiliations of a node, as its owners see and change them (XEP-0060 8.9, 4.1).
//
// - 8.9.2.4: what of several changes is possible is done, and the rest is told.
// - Table 2 of 4.1 has an owner resign only to `none`; owners make others of owners, themselves too, anything, as long as one is left.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { asOwner, checkOwner, checkStandsAlone } from './access.ts';
import type { Asked } from './asked.ts';
import { settlePending } from './authorize.ts';
import { type Affiliation, affiliations } from './config.ts';
import { type Node, withAffiliation } from './node.ts';
import { letterhead, notifyOne } from './notify.ts';
import { pubsub, pubsubOwner } from './respond.ts';
import type { Shelf } from './shelf.ts';
import { endSubscriptions } from './subscriptions.ts';

/** 8.9.1. @throws StanzaError `forbidden` for all but owners */
export function answerAffiliates(shelf: Shelf, name: string, { from }: Asked): MaybePromise<Element> {
  return andThen(shelf.get(name), (node) => {
    checkOwner(shelf, node, from);
    const found = [...node.judge.entities].flatMap(([jid, { affiliation }]) =>
      affiliation === undefined ? [] : [el('affiliation', NS.pubsubOwner, { jid, affiliation })],
    );
    return pubsubOwner(el('affiliations', NS.pubsubOwner, { node: name }, ...found));
  });
}

/** A change that somebody wants, as far as it can be read. */
interface Change {
  readonly text: string;
  readonly jid: Jid | undefined;
  /** undefined where the request does not say. */
  readonly wanted: string | undefined;
}

/** 8.9.2. @throws StanzaError `forbidden` for all but owners, `not-acceptable` with what could not be done, `bad-request` for somebody named twice */
export function changeAffiliates(
  shelf: Shelf,
  name: string,
  { from }: Asked,
  action: Element,
): MaybePromise<undefined> {
  const changes = action.getChildren('affiliation').map(({ attrs: { jid: text = '', affiliation } }): Change => {
    const jid = Jid.parse(text);
    return { text, jid, wanted: affiliation };
  });
  const people = changes.flatMap(({ jid }) => jid?.bare ?? []);
  if (new Set(people).size < people.length) throw new StanzaError('bad-request', 'somebody is named twice');
  return asOwner(shelf, name, from, async (node) => {
    checkStandsAlone(node);
    const refused: Element[] = [];
    for (const change of changes) {
      if (!(await apply(shelf, node, change))) refused.push(asItIs(node, change));
    }
    if (refused.length === 0) return undefined;
    const beside = pubsubOwner(el('affiliations', NS.pubsubOwner, { node: name }, ...refused));
    throw new StanzaError('not-acceptable', undefined, { beside });
  });
}

function asItIs(node: Node, { text, jid }: Change): Element {
  const affiliation = jid === undefined ? 'none' : node.affiliationOf(jid.bare);
  return el('affiliation', NS.pubsubOwner, { jid: text, affiliation });
}

const isAffiliation = (text: string): text is Affiliation => affiliations.some((one) => one === text);

/** Whether it could be done. */
async function apply(shelf: Shelf, node: Node, { jid, wanted }: Change): Promise<boolean> {
  // "the value MUST NOT be changed"
  if (wanted === undefined) return true;
  if (jid === undefined || !isAffiliation(wanted)) return false;
  return setAffiliation(shelf, node, jid, wanted);
}

/**
 * Makes somebody something to a node, in its turn, with all that follows: whether whoever wants it may is checked already.
 * @returns whether that may be: a node has an owner (8.9.2.4), and the service's own is what it is
 */
export async function setAffiliation(shelf: Shelf, node: Node, who: Jid, affiliation: Affiliation): Promise<boolean> {
  const bare = flatten(who.bare) as typeof who.bare;
  const before = node.affiliationOf(bare);
  if (before === affiliation) return true;
  const standing = shelf.ports.policy.standing(who.withResource(''));
  if (standing !== undefined && standing !== affiliation) return false;
  if (before === 'owner' && node.affiliated('owner').length < 2) return false;
  const rows = new Map([[bare as string, withAffiliation(node.entities.get(bare), affiliation)]]);
  await shelf.ports.rows.saveEntities(node.name, rows);
  node.setRows(rows);
  tellAffiliation(shelf, node, bare, affiliation);
  await followUp(shelf, node, bare, affiliation);
  return true;
}

/** 8.7.4: requests of who is something now are settled; who may not read is subscribed no longer. */
async function followUp(shelf: Shelf, node: Node, bare: string, affiliation: Affiliation): Promise<void> {
  const all = node.subscriptionsOf(bare);
  if (all.length === 0) return;
  if (affiliation === 'outcast' || affiliation === 'publish-only') {
    await endSubscriptions(shelf, node, bare, all);
  } else if (affiliation !== 'none' && all.some(({ state }) => state === 'pending')) {
    await settlePending(shelf, node, bare, ({ state }) => state === 'pending', true);
  }
}

/** 8.9.4. */
function tellAffiliation(shelf: Shelf, node: Node, bare: string, affiliation: Affiliation): void {
  const jid = Jid.parse(bare)!;
  const { from, id, type } = letterhead(shelf, node);
  const change = el('affiliation', NS.pubsub, { jid: bare, affiliation });
  const attrs = { from: from.full, id, type: type === 'normal' ? undefined : type };
  const list = el('affiliations', NS.pubsub, { node: node.name }, change);
  notifyOne(shelf, node, el('message', null, attrs, pubsub(list)), [jid]);
}
