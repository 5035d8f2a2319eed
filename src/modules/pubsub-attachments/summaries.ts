// XEP-0470 4.3, 4.6: nodes with attachments, and what sums them up. The summary of a node has an item for each of its items that has a node with attachments:
// so they are found again when what they are attached to goes.
//
// Turns are taken in this order, never the other way round: of the node itself, of one with attachments, of the summary.

import { parseElement } from '../../xml/document.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { begin } from '../pubsub/create.ts';
import { removeNode } from '../pubsub/delete.ts';
import type { ItemsChanged } from '../pubsub/hooks.ts';
import { mostOf } from '../pubsub/keeping.ts';
import type { Node } from '../pubsub/node.ts';
import { payloadText } from '../pubsub/notices.ts';
import { itemOf, publishOwn } from '../pubsub/publish.ts';
import { purgeNode, retractOwn } from '../pubsub/retract.ts';
import type { Shelf } from '../pubsub/shelf.ts';
import { attachmentNode, summaryNode, type Target, targetOf } from './names.ts';
import { attachedIn, Tally } from './tally.ts';

/** The attachments of one item, and the summary that was told last. */
interface Counted {
  readonly tally: Tally;
  told: string;
}

/** Items that are read at a time. */
const PAGE = 500;
/** Nodes with attachments that are removed at a time. */
const AT_A_TIME = 16;
/** More than that are removed while nobody waits for it. */
const MOST_AWAITED = 64;
/** What expires leaves its attachments behind: so often it is looked for where it may, in milliseconds. */
const TIDY_EVERY = 3_600_000;

export class Summaries {
  /** By nodes with attachments, in the memory that they are in. */
  private readonly counted = new WeakMap<Node, Promise<Counted>>();
  /** Whether a node has a summary, and when what has expired was looked for there. */
  private readonly isSummed = new WeakMap<Node, boolean>();
  private readonly tidied = new WeakMap<Node, number>();

  /**
   * Makes the node with attachments of an item, in its turn.
   * @returns undefined where there is no such item
   */
  async begin(shelf: Shelf, head: Node, target: Target): Promise<Node | undefined> {
    const { rows, policy, now } = shelf.ports;
    const name = summaryNode(target.node);
    const isThere = await shelf.run(name, async () => {
      if (head.isOver || !(await hasItem(shelf, target))) return false;
      const summary = (await shelf.find(name)) ?? (await begin(shelf, head, name, true));
      this.isSummed.set(head, true);
      const none = itemOf(shelf, summary, shelf.jid, { id: target.item, payload: new Tally().summary() });
      await rows.items.put(name, [none], mostOf(summary.config, policy));
      return true;
    });
    if (!isThere) return undefined;
    if (head.config.itemExpire !== 'max' && (this.tidied.get(head) ?? 0) + TIDY_EVERY <= now()) {
      this.tidied.set(head, now());
      removing(shelf, name, async () => removeAll(shelf, head, shelf.jid, await idsAt(shelf, name)));
    }
    return begin(shelf, head, attachmentNode(shelf.jid, target), false);
  }

  /** The attachments of an item, which are read when they are asked for first. */
  count(shelf: Shelf, node: Node): Promise<Counted> {
    const known = this.counted.get(node);
    if (known !== undefined) return known;
    const reading = read(shelf, node);
    this.counted.set(node, reading);
    reading.catch(() => this.counted.delete(node));
    return reading;
  }

  /** Something was attached, or is not any more. */
  async changed({ shelf, node, published, gone }: ItemsChanged): Promise<void> {
    const target = targetOf(shelf.jid, node.name);
    if (target === undefined) return;
    const name = summaryNode(target.node);
    const counted = node.isOver ? undefined : await this.count(shelf, node);
    if (counted !== undefined) {
      if (gone === 'all') counted.tally.clear();
      else for (const id of gone) counted.tally.set(id, undefined);
      if (published?.payload !== undefined) counted.tally.set(published.id, attachedIn(published.payload));
    }
    await shelf.run(name, async () => {
      const summary = await shelf.find(name);
      if (summary === undefined) return;
      if (counted === undefined || node.isOver) return retractOwn(shelf, summary, [target.item]);
      const payload = counted.tally.summary();
      const text = payloadText(payload);
      if (text === counted.told) return;
      await publishOwn(shelf, summary, target.item, payload);
      counted.told = text;
    });
  }

  /** Items are gone, or the node with them: so is what was attached to them. */
  async gone({ shelf, node: head, by, gone }: ItemsChanged): Promise<void> {
    if (!(await this.hasSummary(shelf, head))) return;
    const name = summaryNode(head.name);
    let ids = gone;
    if (ids === 'all') {
      ids = await shelf.run(name, async () => {
        const summary = await shelf.companion(head, name);
        if (summary === undefined) return [];
        const listed = await idsAt(shelf, name);
        if (head.isOver) await removeNode(shelf, summary, by);
        else await purgeNode(shelf, summary, by);
        return listed;
      });
    }
    const all = ids;
    const remove = (): Promise<void> => removeAll(shelf, head, by, all);
    if (all.length <= MOST_AWAITED) await remove();
    else removing(shelf, name, remove);
  }

  private async hasSummary(shelf: Shelf, head: Node): Promise<boolean> {
    const known = this.isSummed.get(head);
    if (known !== undefined) return known;
    const found = (await shelf.companion(head, summaryNode(head.name))) !== undefined;
    // (it may have been made meanwhile)
    const is = this.isSummed.get(head) ?? found;
    this.isSummed.set(head, is);
    return is;
  }
}

/** Whether there is an item that something can be attached to. */
export async function hasItem({ ports }: Shelf, { node, item }: Target): Promise<boolean> {
  return (await ports.rows.items.get(node, [item])).length > 0;
}

async function read(shelf: Shelf, node: Node): Promise<Counted> {
  const { items } = shelf.ports.rows;
  const tally = new Tally();
  let after: string | undefined;
  do {
    const page = await items.page(node.name, { limit: PAGE, after });
    for (const { id, xml } of page?.items ?? []) if (xml !== '') tally.set(id, attachedIn(parseElement(xml)));
    after = page === undefined || page.complete ? undefined : page.items.at(-1)?.id;
  } while (after !== undefined);
  const target = targetOf(shelf.jid, node.name);
  const [told] = target === undefined ? [] : await items.get(summaryNode(target.node), [target.item]);
  return { tally, told: told?.xml ?? '' };
}

/** The items that a summary tells of. */
async function idsAt({ ports }: Shelf, name: string): Promise<readonly string[]> {
  const ids: string[] = [];
  let after: string | undefined;
  do {
    const page = await ports.rows.items.page(name, { limit: PAGE, after });
    for (const { id } of page?.items ?? []) ids.push(id);
    after = page === undefined || page.complete ? undefined : ids.at(-1);
  } while (after !== undefined);
  return ids;
}

/** What nobody waits for. */
function removing(shelf: Shelf, summary: string, work: () => Promise<void>): void {
  shelf.inOrder(`${summary} removal`, 'removing attachments', work);
}

/** Removes what is attached to items that are not there. */
async function removeAll(shelf: Shelf, head: Node, by: Jid, ids: readonly string[]): Promise<void> {
  for (let i = 0; i < ids.length; i += AT_A_TIME) {
    await Promise.all(ids.slice(i, i + AT_A_TIME).map((item) => removeOne(shelf, head, by, { node: head.name, item })));
  }
}

function removeOne(shelf: Shelf, head: Node, by: Jid, target: Target): Promise<void> | void {
  const name = attachmentNode(shelf.jid, target);
  return shelf.run(name, async () => {
    const node = await shelf.companion(head, name);
    if (node === undefined || (!head.isOver && (await hasItem(shelf, target)))) return;
    await removeNode(shelf, node, by);
  });
}
