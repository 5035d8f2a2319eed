// What the server itself does in the name of an account: as if one of its devices had, so that everybody who listens hears of it.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { defineService } from '../../core/module.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { Asked } from '../pubsub/asked.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import type { Errand } from '../pubsub/errands.ts';

export interface PersonalItem {
  readonly id: string;
  readonly payload: Element | undefined;
}

/** By the fields' names without `pubsub#`. */
export type FormValues = Readonly<Record<string, string | readonly string[]>>;

/** Accounts are localparts of this host. Whatever is refused is thrown, as a StanzaError. */
export interface PersonalNodes {
  /**
   * Publishes, and makes the node where there is none.
   * @param id of its own, unless given
   * @param expected values of the node's form, by the fields' names without `pubsub#`: what the node is to be, or is made with
   * @param as: who publishes, if not the account itself: one of its devices
   * @returns the id, when the item is stored
   */
  publish(
    user: string,
    node: string,
    payload: Element,
    options?: { readonly id?: string; readonly expected?: FormValues; readonly as?: Jid },
  ): Promise<string>;
  /** Takes items back; subscribers are told. */
  retract(user: string, node: string, ids: readonly string[]): Promise<void>;
  /**
   * Those of these ids, or so many of the newest, newest first; none where there is no such node.
   * @param query as: who reads, if not the account itself: what may not be read is refused
   */
  items(
    user: string,
    node: string,
    query?: { readonly ids?: readonly string[]; readonly most?: number; readonly as?: Jid },
  ): Promise<readonly PersonalItem[]>;
  /**
   * At a node that only the server writes to (`made` in `nodeDefaults`): an item is there from now on, or is not any more. The node is made with its first item, and
   * goes with its last one.
   */
  keep(user: string, node: string, id: string, payload: Element | undefined): Promise<void>;
  /** What a node is; undefined where there is none. */
  config(user: string, node: string): MaybePromise<NodeConfig | undefined>;
  /** Changes values of the node's form, by the fields' names without `pubsub#`. */
  configure(user: string, node: string, values: FormValues): Promise<void>;
  /** Deletes a node and its items. */
  remove(user: string, node: string): Promise<void>;
}
export const pep = defineService<PersonalNodes>('pep');

export interface PersonalNodesParts {
  readonly domain: string;
  ask(user: string, asked: Asked): MaybePromise<Element | undefined>;
  run(user: string, node: string, errand: Errand): MaybePromise<unknown>;
  config(user: string, node: string): MaybePromise<NodeConfig | undefined>;
}

export function personalNodes({ domain, ask, run, config }: PersonalNodesParts): PersonalNodes {
  const request = async (
    user: string,
    type: 'get' | 'set',
    ns: string,
    child: Element,
    { options = [], as = Jid.of(user, domain) }: { readonly options?: readonly Element[]; readonly as?: Jid } = {},
  ): Promise<Element | undefined> => ask(user, new Asked(as, type, el('pubsub', ns, undefined, child, ...options)));
  return {
    config,
    async keep(user, node, id, payload) {
      await run(user, node, { is: 'own', id, ...(payload !== undefined && { xml: payload.toXml() }) });
    },
    async publish(user, node, payload, { id, expected, as } = {}) {
      const publish = el('publish', NS.pubsub, { node }, el('item', NS.pubsub, { id }, payload));
      const options =
        expected === undefined
          ? []
          : [el('publish-options', NS.pubsub, undefined, form(NS.pubsubPublishOptions, expected))];
      const answer = await request(user, 'set', NS.pubsub, publish, { options, ...(as !== undefined && { as }) });
      return answer?.getChild('publish')?.getChild('item')?.attrs.id ?? '';
    },
    async retract(user, node, ids) {
      const items = ids.map((id) => el('item', NS.pubsub, { id }));
      await request(user, 'set', NS.pubsub, el('retract', NS.pubsub, { node, notify: 'true' }, ...items));
    },
    async items(user, node, { ids = [], most, as } = {}) {
      const found = await andThen(config(user, node), (there) => {
        if (there === undefined) return undefined;
        const wanted = ids.map((id) => el('item', NS.pubsub, { id }));
        const attrs = { node, max_items: most?.toString() };
        const items = el('items', NS.pubsub, attrs, ...wanted);
        return request(user, 'get', NS.pubsub, items, as === undefined ? {} : { as });
      });
      const items = found?.getChild('items')?.getChildren('item') ?? [];
      return items.map((item) => ({ id: item.attrs.id ?? '', payload: payloadIn(item) }));
    },
    async configure(user, node, values) {
      const configure = el('configure', NS.pubsubOwner, { node }, form(NS.pubsubNodeConfig, values));
      await request(user, 'set', NS.pubsubOwner, configure);
    },
    async remove(user, node) {
      await request(user, 'set', NS.pubsubOwner, el('delete', NS.pubsubOwner, { node }));
    },
  };
}

/** As it came, or as it is in the store. */
function payloadIn({ children }: Element): Element | undefined {
  const payload = children.find((child) => typeof child !== 'string');
  return payload !== undefined && 'raw' in payload ? parseElement(payload.raw) : payload;
}

function form(formType: string, values: FormValues): Element {
  const field = (name: string, value: string | readonly string[], type?: string): Element => {
    const all = typeof value === 'string' ? [value] : value;
    return el(
      'field',
      NS.dataForms,
      { var: name, type },
      ...all.map((one) => el('value', NS.dataForms, undefined, one)),
    );
  };
  const fields = Object.entries(values).map(([name, value]) => field(`pubsub#${name}`, value));
  return el('x', NS.dataForms, { type: 'submit' }, field('FORM_TYPE', formType, 'hidden'), ...fields);
}
