// What was at a node elsewhere, and is to be here: for accounts that move (XEP-0227 4.9). Nobody is told of it, and what is here already stays.
import type { MaybePromise } from '../../base/maybe.ts';
import type { NewItem } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { NodeConfig } from './config.ts';
import { extraFields, layOut } from './create.ts';
import { readConfig } from './forms.ts';
import { itemPublished, nodeCreated, nodeCreating } from './hooks.ts';
import { mostOf } from './keeping.ts';
import type { Node } from './node.ts';
import { payloadText } from './notices.ts';
import { itemOf } from './publish.ts';
import type { EntityRow } from './rows.ts';
import type { Shelf } from './shelf.ts';

/** JSON. */
export interface Brought {
  /** The node's form, filled in: XML. */
  readonly config?: string;
  /** By bare JID. */
  readonly entities?: Readonly<Record<string, EntityRow>>;
  /** In the order of their publication; payloads as XML, or none. */
  readonly items?: readonly { readonly id: string; readonly xml: string | undefined; readonly publisher: string }[];
  /** It is only told what would be. */
  readonly isDry?: true;
}

/** How often something was done; attributes of the element that {@link bring} returns. */
export interface Outcome {
  added: number;
  same: number;
  kept: number;
  refused: number;
  /** What became of the configuration. */
  config: 'added' | 'same' | 'kept' | 'refused';
}

export function bring(shelf: Shelf, name: string, brought: Brought): MaybePromise<Element> {
  return shelf.run(name, async () => {
    const outcome: Outcome = { added: 0, same: 0, kept: 0, refused: 0, config: 'added' };
    const there = await shelf.find(name);
    const node = there ?? (await begin(shelf, name, brought, outcome));
    if (there !== undefined && brought.config !== undefined) compare(shelf, there, brought.config, outcome);
    if (node !== undefined) await bringEntities(shelf, node, brought);
    await bringItems(shelf, name, node, brought, outcome);
    const attrs = Object.entries(outcome).map(([key, value]) => [key, String(value)]);
    return el('brought', NS.exported, Object.fromEntries(attrs));
  });
}

/** The node, made; undefined where nothing is to be made. */
async function begin(
  shelf: Shelf,
  name: string,
  { config: xml, isDry }: Brought,
  outcome: Outcome,
): Promise<Node | undefined> {
  const config = xml === undefined ? shelf.defaults(name) : configOf(shelf, name, xml, outcome);
  const { jid: service, ports } = shelf;
  const verdict = await ports.hooks.gate(nodeCreating, { service, name, creator: service, config });
  if (verdict instanceof StanzaError || Buffer.byteLength(name) > MOST_NAME) outcome.config = 'refused';
  if (verdict instanceof StanzaError || Buffer.byteLength(name) > MOST_NAME || isDry) return undefined;
  const node = await layOut(shelf, { name, creator: service.bare, config });
  ports.hooks.notify(nodeCreated, { service, node, creator: service });
  return node;
}

/** What cannot be read is for members alone: nobody is to see more than before. */
function configOf(shelf: Shelf, name: string, xml: string, outcome: Outcome): NodeConfig {
  const defaults = shelf.defaults(name);
  try {
    return readConfig(parseElement(xml), defaults, shelf.ports.policy, extraFields(shelf, name));
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error;
    outcome.config = 'refused';
    return { ...defaults, accessModel: 'whitelist' };
  }
}

function compare(shelf: Shelf, node: Node, xml: string, outcome: Outcome): void {
  try {
    // the very one, where nothing changes
    const read = readConfig(parseElement(xml), node.config, shelf.ports.policy, extraFields(shelf, node.name));
    outcome.config = read === node.config ? 'same' : 'kept';
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error;
    outcome.config = 'refused';
  }
}

async function bringEntities({ ports }: Shelf, node: Node, { entities = {}, isDry }: Brought): Promise<void> {
  const rows = new Map(
    Object.entries(entities).flatMap(([bare, row]) => {
      const there = node.entities.get(bare);
      const merged = { ...row, ...there };
      return Object.keys(merged).length === Object.keys(there ?? {}).length ? [] : [[bare, merged] as const];
    }),
  );
  if (rows.size === 0 || isDry) return;
  await ports.rows.saveEntities(node.name, rows);
  node.setRows(rows);
}

async function bringItems(
  shelf: Shelf,
  name: string,
  node: Node | undefined,
  { items = [], isDry }: Brought,
  outcome: Outcome,
): Promise<void> {
  if (items.length === 0) return;
  const { policy, rows, hooks } = shelf.ports;
  const known = await rows.items.get(
    name,
    items.map(({ id }) => id),
  );
  const there = new Map(known.map(({ id, xml }) => [id, xml]));
  const added: {
    readonly item: NewItem & { readonly createdAt: number };
    readonly payload: Element | undefined;
    readonly publisher: Jid;
  }[] = [];
  for (const { id, xml, publisher: text } of items) {
    const payload = xml === undefined ? undefined : parseElement(xml);
    const written = payloadText(payload);
    const publisher = Jid.parse(text) ?? shelf.jid;
    if (Buffer.byteLength(written) > policy.mostPayload || Buffer.byteLength(id) > MOST_ID || id === '')
      outcome.refused++;
    else if (there.has(id)) outcome[there.get(id) === written ? 'same' : 'kept']++;
    else {
      outcome.added++;
      there.set(id, written);
      if (node !== undefined) added.push({ item: itemOf(shelf, node, publisher, { id, payload }), payload, publisher });
    }
  }
  if (node?.config.isPersistent === false) {
    outcome.refused += added.length;
    outcome.added -= added.length;
    return;
  }
  if (isDry || node === undefined || added.length === 0) return;
  await rows.items.put(
    name,
    added.map(({ item }) => item),
    mostOf(node.config, policy),
  );
  for (const { item, payload, publisher } of added)
    hooks.notify(itemPublished, { service: shelf.jid, node, publisher, item, payload });
}

/** Of an ItemID and of a NodeID, in bytes. */
const MOST_ID = 1023;
const MOST_NAME = 1023;
