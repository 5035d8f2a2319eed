// The nodes of an account in its file (XEP-0227 4.9): configuration, affiliations, subscriptions and items. Nodes that come with others (attachments
// to items of others' making) and those that the server makes itself are not in it.

import { randomBytes } from 'node:crypto';
import type { MaybePromise } from '../../base/maybe.ts';
import type { Portion, PortionReader, Reading } from '../../core/portion.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { escapeAttr } from '../../xml/escape.ts';
import { rawValues } from '../../xmpp/dataform.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Brought } from '../pubsub/bring.ts';
import { affiliations } from '../pubsub/config.ts';
import { extraFields } from '../pubsub/create.ts';
import { configElement } from '../pubsub/forms.ts';
import type { EntityRow, NodeRow, SubscriptionRow } from '../pubsub/rows.ts';
import type { Service } from '../pubsub/shelf.ts';
import type { NodeStores } from '../pubsub/stores.ts';
import { optionsElement, plainOptions, readOptions } from '../pubsub/subscription-options.ts';
import { isNamed } from './xml.ts';

export interface NodesPortionParts {
  readonly domain: string;
  readonly stores: NodeStores;
  serviceOf(user: Jid): Service;
  /** Of all items of an account. */
  readonly mostBytes: number;
  /** What became of it, in the attributes of an element (`Outcome`). @throws StanzaError */
  bring(user: string, node: string, brought: Brought): MaybePromise<Element | undefined>;
}

/** Items that are brought together. */
const TOGETHER = 100;

export function nodesPortion(parts: NodesPortionParts): Portion {
  const isOwner = isNamed('pubsub', NS.pubsubOwner);
  const isPubsub = isNamed('pubsub', NS.pubsub);
  const isItems = isNamed('items', NS.pubsub);
  return {
    takes: (element) => isOwner(element) || isPubsub(element),
    opens: (tag, around) =>
      around.length === 0 ? isOwner(tag) || isPubsub(tag) : around.length === 1 && isPubsub(around[0]!) && isItems(tag),
    async *write(user) {
      const service = parts.serviceOf(user);
      const rows = [...(await parts.stores.nodes.all(user.local))];
      const nodes = rows
        .filter(([name, { movedTo }]) => movedTo === undefined && service.companionOf(name) === undefined)
        .sort(([a], [b]) => (a < b ? -1 : 1));
      if (nodes.length === 0) return;
      yield `<pubsub xmlns='${NS.pubsubOwner}'>`;
      for (const [name, row] of nodes) {
        const entities = await parts.stores.entities.left(user.local, name);
        yield ownerElements(user, name, formOf(service, name, row), entities)
          .map((one) => one.toXml(NS.pubsubOwner))
          .join('');
      }
      yield `</pubsub><pubsub xmlns='${NS.pubsub}'>`;
      for (const [name] of nodes) yield* items(parts, user, name);
      yield '</pubsub>';
    },
    read: (reading) => new NodesReader(parts, reading),
  };
}

/** The node's form with what holds, without what is there for people. */
function formOf(service: Service, name: string, { config }: Pick<NodeRow, 'config'>): Element {
  const whole = { ...service.defaults(name), ...config };
  const x = configElement(whole, 'result', service.ports.policy, extraFields(service, name));
  const fields = [...rawValues(x)].map(([key, values]) => fieldOf(key, values));
  return el('x', NS.dataForms, { type: 'form' }, ...fields);
}

function fieldOf(name: string, values: readonly string[]): Element {
  const type = name === 'FORM_TYPE' ? 'hidden' : undefined;
  return el(
    'field',
    NS.dataForms,
    { var: name, type },
    ...values.map((one) => el('value', NS.dataForms, undefined, one)),
  );
}

function ownerElements(
  user: Jid,
  node: string,
  config: Element,
  entities: ReadonlyMap<string, EntityRow>,
): readonly Element[] {
  const others = [...entities].filter(([bare]) => bare !== user.bare).sort(([a], [b]) => (a < b ? -1 : 1));
  const affiliated = others.flatMap(([jid, { affiliation }]) =>
    affiliation === undefined ? [] : el('affiliation', NS.pubsubOwner, { jid, affiliation }),
  );
  const subscribed = [...entities]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, { subscriptions = [] }]) => subscriptions.map(subscriptionElement));
  return [
    el('configure', NS.pubsubOwner, { node }, config),
    ...(affiliated.length === 0 ? [] : [el('affiliations', NS.pubsubOwner, { node }, ...affiliated)]),
    ...(subscribed.length === 0 ? [] : [el('subscriptions', NS.pubsubOwner, { node }, ...subscribed)]),
  ];
}

function subscriptionElement({ jid, subid, state, options, isPublic }: SubscriptionRow): Element {
  const form = options === undefined ? [] : [optionsElement({ ...plainOptions, ...options }, 'result')];
  return el(
    'subscription',
    NS.pubsubOwner,
    { jid, subscription: state, subid, ...(isPublic && { [`{${NS.exported}}public`]: 'true' }) },
    ...form,
  );
}

async function* items(parts: NodesPortionParts, { local, bare }: Jid, node: string): AsyncGenerator<string> {
  yield `<items node='${escapeAttr(node)}'>`;
  let after: string | undefined;
  for (;;) {
    const page = await parts.stores.items.page(local, node, { limit: TOGETHER, ...(after !== undefined && { after }) });
    for (const { id, xml, publisher } of page?.items ?? []) {
      const payload = xml === '' ? [] : [parseElement(xml)];
      const attrs = { id, ...(publisher !== bare && publisher !== '' && { publisher }) };
      yield el('item', NS.pubsub, attrs, ...payload).toXml(NS.pubsub);
    }
    if (page === undefined || page.complete) break;
    after = page.items.at(-1)!.id;
  }
  yield '</items>';
}

class NodesReader implements PortionReader {
  private readonly parts: NodesPortionParts;
  private readonly reading: Reading;
  private waiting: Array<NonNullable<Brought['items']>[number]> = [];

  constructor(parts: NodesPortionParts, reading: Reading) {
    this.parts = parts;
    this.reading = reading;
  }

  take(element: Element, around: readonly Element[]): MaybePromise<void> {
    const [pubsub, items] = around;
    if (pubsub === undefined) return;
    if (items !== undefined) return this.takeItem(element, items.attrs.node ?? '');
    if (pubsub.ns !== NS.pubsubOwner) return;
    const { node = '' } = element.attrs;
    if (node === '' || !this.isOwn(node)) return;
    if (element.name === 'configure') return this.takeConfig(element, node);
    if (element.name === 'affiliations') return this.takeEntities(node, affiliationRows(element));
    if (element.name === 'subscriptions') return this.takeEntities(node, subscriptionRows(element));
  }

  async close(tag: Element): Promise<void> {
    if (tag.is('items', NS.pubsub)) await this.flush(tag.attrs.node ?? '');
  }

  private async takeConfig(configure: Element, node: string): Promise<void> {
    const { user, notes } = this.reading;
    const x = configure.getChild('x', NS.dataForms);
    const names = new Set(rawValues(formOf(this.parts.serviceOf(user), node, { config: {} })).keys());
    // what is empty says nothing (XEP-0004): Prosody writes all fields, also those that nobody has set
    const values = [...(x === undefined ? [] : rawValues(x))].filter(
      ([name, all]) => names.has(name) && name !== 'FORM_TYPE' && all.some((value) => value !== ''),
    );
    const fields = [['FORM_TYPE', [NS.pubsubNodeConfig]] as const, ...values].map(([name, all]) => fieldOf(name, all));
    const config = el('x', NS.dataForms, { type: 'submit' }, ...fields).toXml();
    const { attrs } = await this.bring(node, { config });
    if (attrs.config === 'kept') notes.kept('nodes', `the configuration of ${node}`);
    else if (attrs.config === 'refused')
      notes.ignored('nodes', `the configuration of ${node}: it is for members alone`);
    else if (attrs.config === 'same') notes.same('nodes');
    else notes.added('nodes');
  }

  private async takeEntities(node: string, rows: ReadonlyMap<string, EntityRow>): Promise<void> {
    if (rows.size > 0) await this.bring(node, { entities: Object.fromEntries(rows) });
  }

  private takeItem(item: Element, node: string): MaybePromise<void> {
    if (!item.is('item', NS.pubsub) || node === '' || !this.isOwn(node)) return;
    const [payload] = item.elements();
    const { id = '', publisher = this.reading.user.bare } = item.attrs;
    this.waiting.push({ id, xml: payload?.toXml(), publisher });
    return this.waiting.length < TOGETHER ? undefined : this.flush(node);
  }

  private async flush(node: string): Promise<void> {
    if (this.waiting.length === 0) return;
    const items = this.waiting;
    this.waiting = [];
    const { notes } = this.reading;
    const { attrs } = await this.bring(node, { items });
    notes.added('items', Number(attrs.added));
    notes.same('items', Number(attrs.same));
    if (attrs.kept !== '0') notes.kept('items', `${attrs.kept} of ${node}`);
    if (attrs.refused !== '0')
      notes.ignored('items', `${attrs.refused} of ${node}: too large, without an id, or at a node that keeps none`);
  }

  private isOwn(node: string): boolean {
    return this.parts.serviceOf(this.reading.user).companionOf(node) === undefined;
  }

  private async bring(node: string, brought: Brought): Promise<Element> {
    const { user, isDry } = this.reading;
    const { stores, mostBytes } = this.parts;
    if (brought.items !== undefined && (await stores.items.usage(user.local)).bytes > mostBytes)
      return el('brought', NS.exported, { added: '0', same: '0', kept: '0', refused: String(brought.items.length) });
    const outcome = await this.parts.bring(user.local, node, { ...brought, ...(isDry && { isDry }) });
    if (outcome === undefined) throw new Error('nobody has said what became of what was brought');
    return outcome;
  }
}

function affiliationRows(element: Element): ReadonlyMap<string, EntityRow> {
  const rows = new Map<string, EntityRow>();
  for (const { attrs } of element.getChildren('affiliation')) {
    const jid = Jid.parse(attrs.jid ?? '');
    const affiliation = affiliations.find((one) => one === attrs.affiliation && one !== 'none');
    if (jid !== undefined && affiliation !== undefined) rows.set(jid.bare, { affiliation });
  }
  return rows;
}

const states = ['subscribed', 'pending', 'unconfigured'] as const;

function subscriptionRows(element: Element): ReadonlyMap<string, EntityRow> {
  const rows = new Map<string, EntityRow>();
  for (const child of element.getChildren('subscription')) {
    const { attrs } = child;
    const jid = Jid.parse(attrs.jid ?? '');
    // (Prosody has it under another name)
    const state = states.find((one) => one === (attrs.subscription ?? attrs.subscribed));
    if (jid === undefined || state === undefined) continue;
    const form = child.getChild('x', NS.dataForms);
    const options = form === undefined ? undefined : readOptions(form.with({ type: 'submit' }), plainOptions);
    const row: SubscriptionRow = {
      jid: jid.full,
      subid: attrs.subid ?? randomBytes(9).toString('base64url'),
      state,
      ...(attrs[`{${NS.exported}}public`] === 'true' && { isPublic: true as const }),
      ...(options !== undefined && { options }),
    };
    rows.set(jid.bare, { subscriptions: [...(rows.get(jid.bare)?.subscriptions ?? []), row] });
  }
  return rows;
}
