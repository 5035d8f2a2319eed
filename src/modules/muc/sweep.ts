// Rooms that were not persistent and whose server was killed: rows without anybody. They go when they are looked at.
import { el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { stanzaOf } from '../../xmpp/stanza.ts';
import { Passed } from './passed.ts';
import type { RoomStores } from './stores.ts';

/** Rooms that are read at a time. */
const PAGE = 100;

/** Has every room looked at that is not persistent, and not at home yet; resolves when that is done. */
export async function sweep(
  stores: Pick<RoomStores, 'rooms'>,
  host: Jid,
  isHere: (key: string) => boolean,
  pass: (key: string, passed: Passed) => unknown,
): Promise<void> {
  for (let after: string | undefined; ; ) {
    const page = await stores.rooms.owners(after, PAGE);
    for (const key of page) {
      const row = await stores.rooms.get(key);
      if (row === undefined || (row.config.isPersistent && row.isLocked !== true) || isHere(key)) continue;
      // something that no room answers; who is really in it stays
      const nothing = el('presence', null, { type: 'unavailable' });
      await pass(key, new Passed(stanzaOf(nothing, host, Jid.of(key, host.domain))));
    }
    after = page.at(-1);
    if (after === undefined || page.length < PAGE) return;
  }
}
