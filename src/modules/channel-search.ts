// XEP-0433: Extended Channel Search, of the public rooms of a host. It is answered from the directory of rooms, without waking any.
//
// - 6.1: `sinaddress` is what the table calls it, and what is understood; the example has another name.
// - 6.2, note 2: how many are in a room is counted every few seconds.
// - 4.2.5 leaves rates to the service: those of clients and servers hold.
import type { MaybePromise } from '../base/maybe.ts';
import { defineModule, iqGet, on } from '../core/module.ts';
import { ephemeral } from '../storage/specs.ts';
import { type Element, el } from '../xml/element.ts';
import { booleanField, choiceField, choicesField, formElement, readForm, textField } from '../xmpp/dataform.ts';
import { StanzaError, type StanzaErrorOptions } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { pageElement, pageOf, parsePageRequest } from '../xmpp/rsm.ts';
import { roomDirectory } from './muc/directory.ts';
import { roomDestroyed, roomJoined, roomLeft, roomOpening } from './muc/hooks.ts';
import type { Room } from './muc/room.ts';
import type { DirectoryRow } from './muc/rows.ts';

/** In milliseconds. */
const COUNT_EVERY = 5000;
const COUNT_FOR = 7 * 24 * 3_600_000;
/** Rooms in one answer. */
const MOST_ITEMS = 100;

const byUsers = '{urn:xmpp:channel-search:0:order}nusers';
const byAddress = '{urn:xmpp:channel-search:0:order}address';

/** One room, as it is found. */
interface Found {
  readonly address: string;
  readonly users: number;
  readonly row: DirectoryRow;
}

const form = {
  formType: NS.channelSearchParams,
  title: 'Search for rooms',
  fields: {
    q: textField('Search for'),
    all: booleanField('Return all entries (ignore search terms)'),
    sinname: booleanField('Search in name'),
    sindescription: booleanField('Search in description'),
    sinaddress: booleanField('Search in address'),
    // 4.2.2: what is unknown has an error of its own, or is nothing that there is
    types: { ...choicesField('Service types', { 'xep-0045': 'XEP-0045 Multi User Chats' }), decode: anyOf },
    key: {
      ...choiceField('Sort results by', { [byUsers]: 'Number of online users', [byAddress]: 'Address' }),
      decode: ([key]: readonly string[]) => key as typeof byUsers,
    },
  },
} as const;

function anyOf(values: readonly string[]): readonly 'xep-0045'[] {
  return values as readonly 'xep-0045'[];
}

const defaults = {
  sinname: true,
  sindescription: true,
  sinaddress: true,
  types: ['xep-0045'],
  key: byUsers,
} as const;

export default defineModule({
  xeps: ['XEP-0433 0.1.0'],
  summary: 'Searches for public rooms',
  hosts: ['rooms'],
  needs: [roomDirectory],
  /** How many are in a room; the owner is `''`, the key the room's localpart. */
  stores: { users: ephemeral<number>() },

  setup({ host, use, stores, every }) {
    const directory = use(roomDirectory);
    /** Rooms in which somebody has come or gone. */
    const changed = new Set<Room>();

    every(COUNT_EVERY, 'counting who is in rooms', async () => {
      const rooms = [...changed];
      changed.clear();
      for (const room of rooms) {
        const count = room.isOver || room.occupants.size === 0 ? undefined : room.occupants.size;
        await stores.users.set('', room.jid.local, count, COUNT_FOR);
      }
    });

    async function search(terms: readonly string[], answers: Answers): Promise<Found[]> {
      const [rows, users] = await Promise.all([directory.all(), stores.users.all('')]);
      const found: Found[] = [];
      for (const [local, row] of rows) {
        if (!row.isPublic) continue;
        const address = `${local}@${host.domain}`;
        if (!matches(terms, answers, address, row)) continue;
        found.push({ address, users: users.get(local) ?? 0, row });
      }
      return found.sort(answers.key === byUsers ? moreUsers : lesserAddress);
    }

    async function answer(query: Element): Promise<Element> {
      const x = query.getChild('x', NS.dataForms);
      if (x === undefined) return el('search', NS.channelSearch, undefined, formElement(form, defaults));
      const page = parsePageRequest(query);
      const answers: Answers = { ...defaults, ...readForm(form, x) };
      const terms = termsOf(answers);
      const found = answers.types.includes('xep-0045') ? await search(terms, answers) : [];
      const { items, result } = pageOf(found, ({ address }) => address, page, MOST_ITEMS);
      return el('result', NS.channelSearch, undefined, ...items.map(itemOf), pageElement(result));
    }

    const note = ({ room }: { readonly room: Room }): void => void changed.add(room);
    return {
      features: { server: [NS.channelSearch] },
      handlers: [
        iqGet('host', NS.channelSearch, 'search', ({ payload }): MaybePromise<Element> => answer(payload)),
        on(roomOpening, note),
        on(roomJoined, note),
        on(roomLeft, note),
        on(roomDestroyed, note),
      ],
    };
  },
});

type Answers = ReturnType<typeof readForm<typeof form.fields>> & {
  readonly types: readonly string[];
};

/** What is searched for; nothing, for all there is. @throws StanzaError by 4.2.2 to 4.2.8 */
function termsOf({ q, all = false, key }: Answers): string[] {
  if (key !== byUsers && key !== byAddress) {
    throw refused('feature-not-implemented', 'invalid-sort-key', 'there is no such order', { type: 'modify' });
  }
  const terms = (q ?? '').split(/\s+/).map(plain).filter(Boolean);
  if (all && terms.length > 0) {
    const names = ['all', 'q'].map((name) => el('var', NS.channelSearchErrors, undefined, name));
    const extra = el('conflicting-fields', NS.channelSearchErrors, undefined, ...names);
    throw new StanzaError('bad-request', 'either "Search for" or "Return all entries"', { type: 'modify', extra });
  }
  if (all) return [];
  if (q === undefined) {
    throw refused('bad-request', 'no-search-conditions', 'there is nothing to search for', { type: 'cancel' });
  }
  if (terms.length === 0) throw refused('bad-request', 'invalid-search-terms', 'a word is needed', { type: 'modify' });
  return terms;
}

function refused(
  condition: ConstructorParameters<typeof StanzaError>[0],
  special: string,
  text: string,
  options: StanzaErrorOptions,
): StanzaError {
  return new StanzaError(condition, text, { ...options, extra: el(special, NS.channelSearchErrors) });
}

/** Every word has to be somewhere. */
function matches(terms: readonly string[], answers: Answers, address: string, row: DirectoryRow): boolean {
  if (terms.length === 0) return true;
  const { sinname, sindescription, sinaddress } = answers;
  const places = [
    ...(sinname ? [row.name ?? ''] : []),
    ...(sindescription ? [row.description ?? ''] : []),
    ...(sinaddress ? [address] : []),
  ].map(plain);
  return terms.every((term) => places.some((place) => place.includes(term)));
}

/** Without case, width and accents. */
function plain(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

function lesserAddress(one: Found, other: Found): number {
  return one.address < other.address ? -1 : 1;
}

function moreUsers(one: Found, other: Found): number {
  return other.users - one.users || lesserAddress(one, other);
}

/** 6.2. */
function itemOf({ address, users, row }: Found): Element {
  const { name, description, language, isMembersOnly, isProtected, whois } = row;
  const parts: Record<string, string | undefined> = {
    name: name ?? address.slice(0, address.indexOf('@')),
    description,
    language,
    nusers: String(users),
    'service-type': 'xep-0045',
    'is-open': isMembersOnly || isProtected ? undefined : 'true',
    'anonymity-mode': whois === 'anyone' ? '{urn:xmpp:channel-search:0:anonymity}none' : 'muc_semianonymous',
  };
  const children = Object.entries(parts).flatMap(([part, text]) =>
    text === undefined ? [] : [el(part, NS.channelSearch, undefined, text)],
  );
  return el('item', NS.channelSearch, { address }, ...children);
}
