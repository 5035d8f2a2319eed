// Contacts and requests that wait for an answer, in the file of an account (XEP-0227 4.4, 4.9).
import type { Portion } from '../../core/portion.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { RosterBook } from '../roster/book.ts';
import { type ItemLimits, isVisible, itemElement, parseRosterSet, type RosterItem } from '../roster/item.ts';
import { isNamed, standingAlone } from './xml.ts';

export interface RosterPortionParts {
  readonly book: Pick<RosterBook, 'all' | 'bring'>;
  readonly limits: ItemLimits;
}

export function rosterPortion({ book, limits }: RosterPortionParts): Portion {
  const isRoster = isNamed('query', NS.roster);
  const isRequest = (element: Element): boolean => element.is('presence', null) && element.attrs.type === 'subscribe';
  return {
    takes: (element) => isRoster(element) || isRequest(element),
    opens: (tag, around) => around.length === 0 && isRoster(tag),
    async *write({ local }) {
      const items = [...(await book.all(local))].sort(([a], [b]) => (a < b ? -1 : 1));
      const contacts = items.filter(([, item]) => isVisible(item));
      if (contacts.length > 0)
        yield el('query', NS.roster, undefined, ...contacts.map(([jid, item]) => itemElement(jid, item))).toXml();
      for (const [, { request }] of items) if (request !== undefined) yield standingAlone(request);
    },
    read({ user, notes, isDry }) {
      const bring = async (what: string, contact: Jid, item: RosterItem): Promise<void> => {
        const outcome = await book.bring(user, contact, item, isDry);
        if (outcome === 'added' || outcome === 'same') notes[outcome](what);
        else notes.kept(what, contact.bare);
      };
      return {
        async take(element, around) {
          if (isRequest(element) && around.length === 0) {
            const from = Jid.parse(element.attrs.from ?? '')?.withResource('');
            if (from === undefined || from.bare === user.bare) return notes.ignored('requests', 'of nobody');
            const request = element.with({ from: from.bare, to: user.bare }).toXml();
            return bring('requests', from, { groups: [], subscription: 'none', hidden: true, request, ver: 0 });
          }
          if (!element.is('item', NS.roster)) return;
          try {
            const read = parseRosterSet(el('query', NS.roster, undefined, element), user.bare, limits);
            if (read.kind === 'set') await bring('contacts', read.contact, itemFrom(element, read));
          } catch (error) {
            if (!(error instanceof StanzaError)) throw error;
            notes.ignored('contacts', `${element.attrs.jid ?? '?'}: ${error.text ?? error.condition}`);
          }
        },
      };
    },
  };
}

const subscriptions: ReadonlySet<string> = new Set(['none', 'to', 'from', 'both']);

function itemFrom(
  { attrs }: Element,
  { name, groups }: Pick<RosterItem, 'groups'> & { readonly name: string | undefined },
): RosterItem {
  const { subscription = 'none', ask, approved } = attrs;
  return {
    ...(name !== undefined && { name }),
    groups,
    subscription: (subscriptions.has(subscription) ? subscription : 'none') as RosterItem['subscription'],
    ...(ask === 'subscribe' && { ask: true as const }),
    ...((approved === 'true' || approved === '1') && { approved: true as const }),
    ver: 0,
  };
}
