// XEP-0492: Chat notification settings. Clients keep in the bookmark of a room what they want to be told of it, whole and as they like; here is read what
// of it is for the server, which tells people of rooms that they are not in.
//
// - 3.3, finer-grained settings (`<advanced/>`): are for those who know them, and kept (modules/bookmarks).
// - The former namespace (`:0`), which clients in use still write, is read where there is nothing in this one.
import { defineModule, defineService, provide } from '../core/module.ts';
import type { Element } from '../xml/element.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { pep } from './pep/service.ts';

const wishes = ['always', 'on-mention', 'never'] as const;
/** What somebody wants to be told of a conversation. */
export type Wish = (typeof wishes)[number];

/** What kind of program is told, by its disco identity. */
export interface Told {
  readonly category: string;
  readonly type: string;
}

/** Accounts are localparts of this host; `told` is left out for what is the same to all programs. */
export interface NotificationSettings {
  /** What an account wants to be told of one conversation; undefined where it has not said. */
  of(user: string, chat: BareJid, told?: Told): Promise<Wish | undefined>;
  /** The same of all conversations of which it has said something, by their bare addresses. */
  all(user: string, told?: Told): Promise<ReadonlyMap<BareJid, Wish>>;
}
export const notificationSettings = defineService<NotificationSettings>('notification-settings');

export default defineModule({
  xeps: ['XEP-0492 0.2.0'],
  summary: 'Knows what people want to be told of their rooms',
  needs: [pep],
  provides: [notificationSettings],

  setup({ use }) {
    const nodes = use(pep);
    return {
      handlers: [
        provide(notificationSettings, {
          async of(user, chat, told) {
            const [bookmark] = await nodes.items(user, NS.bookmarks, { ids: [chat] });
            return bookmark?.payload && wishIn(bookmark.payload, told);
          },
          async all(user, told) {
            const found = new Map<BareJid, Wish>();
            for (const { id, payload } of await nodes.items(user, NS.bookmarks)) {
              const wish = payload && wishIn(payload, told);
              const chat = Jid.parse(id);
              if (wish !== undefined && chat !== undefined) found.set(chat.bare, wish);
            }
            return found;
          },
        }),
      ],
    };
  },
});

/**
 * What a bookmark says.
 * @param told undefined: only what is said without regard to a program
 */
export function wishIn(conference: Element, told?: Told): Wish | undefined {
  const extensions = conference.getChild('extensions');
  const notify =
    extensions?.getChild('notify', NS.notificationSettings) ??
    extensions?.getChild('notify', NS.notificationSettingsFormer);
  let wish: Wish | undefined;
  let best = 0;
  for (const child of notify?.elements() ?? []) {
    const said = wishes.find((one) => child.is(one, notify!.ns));
    const rank = said === undefined ? 0 : rankOf(child, told);
    if (rank > best) [wish, best] = [said, rank];
  }
  return wish;
}

/** 4: "the element most specific"; 0 where it is for others. */
function rankOf({ attrs, ns }: Element, told: Told | undefined): number {
  const former = ns === NS.notificationSettingsFormer ? attrs['client-type'] : undefined;
  const category = former === undefined ? attrs['identity-category'] : 'client';
  const type = former ?? attrs['identity-type'];
  if (category === undefined) return type === undefined ? 1 : 0;
  if (category !== told?.category) return 0;
  if (type === undefined) return 2;
  return type === told.type ? 3 : 0;
}
