// Whom an account has blocked, in its file: the format has privacy lists for that (XEP-0227 4.8, XEP-0016). Of others, those who are kept out altogether
// by the default list are taken; the rest of it cannot be said by XEP-0191.
import type { Portion } from '../../core/portion.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Blocking } from '../blocking/list.ts';
import { isNamed } from './xml.ts';

export interface BlocksPortionParts {
  readonly lists: Blocking;
  /** As if a device of the account had asked for it. @throws StanzaError */
  block(user: Jid, jids: readonly string[]): Promise<void>;
}

const LIST = 'blocked';

export function blocksPortion({ lists, block }: BlocksPortionParts): Portion {
  const isPrivacy = isNamed('query', NS.privacy);
  const isBlocklist = isNamed('blocklist', NS.blocking);
  return {
    takes: (element) => isPrivacy(element) || isBlocklist(element),
    async *write({ local }) {
      const jids = (await lists.of(local))?.jids ?? [];
      if (jids.length === 0) return;
      const items = jids.map((value, order) =>
        el('item', NS.privacy, { type: 'jid', value, action: 'deny', order: String(order + 1) }),
      );
      const all = el('item', NS.privacy, { action: 'allow', order: String(jids.length + 1) });
      const list = el('list', NS.privacy, { name: LIST }, ...items, all);
      yield el('query', NS.privacy, undefined, el('default', NS.privacy, { name: LIST }), list).toXml();
    },
    read: ({ user, notes, isDry }) => ({
      async take(element) {
        const wanted = isPrivacy(element)
          ? denied(element, notes.ignored)
          : addresses(element.getChildren('item'), 'jid');
        const there = new Set((await lists.of(user.local))?.jids);
        const jids = wanted.filter((jid) => !there.has(jid));
        notes.same('blocked addresses', wanted.length - jids.length);
        if (jids.length === 0) return;
        try {
          if (!isDry) await block(user, jids);
          notes.added('blocked addresses', jids.length);
        } catch (error) {
          if (!(error instanceof StanzaError)) throw error;
          notes.ignored('blocked addresses', error.text ?? error.condition);
        }
      },
    }),
  };
}

function denied(query: Element, ignore: (what: string, detail: string) => void): readonly string[] {
  const name = query.getChild('default')?.attrs.name;
  const lists = query.getChildren('list');
  for (const { attrs } of lists) if (attrs.name !== name) ignore('privacy lists', `"${attrs.name}" is not the default`);
  const items = lists.find(({ attrs }) => attrs.name === name)?.getChildren('item') ?? [];
  const byOrder = [...items].sort((a, b) => Number(a.attrs.order) - Number(b.attrs.order));
  const found: Element[] = [];
  for (const item of byOrder) {
    const { type, action } = item.attrs;
    const isWhole =
      item.elements().length === 0 || ['message', 'iq', 'presence-in'].every((one) => item.getChild(one) !== undefined);
    if (type === 'jid' && action === 'deny' && isWhole) found.push(item);
    else if (action !== 'allow' || type !== undefined) ignore('privacy lists', `rule ${item.attrs.order} of "${name}"`);
  }
  return addresses(found, 'value');
}

function addresses(items: readonly Element[], attribute: 'jid' | 'value'): readonly string[] {
  return [...new Set(items.flatMap(({ attrs }) => Jid.parse(attrs[attribute] ?? '')?.full ?? []))];
}
