// What administrators may do with the rooms of a host, from any node: the host itself asks the room, wherever it is, as its owners ask.
import type { AdminRooms, RoomSummary } from '../../core/commands.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { type Element, el } from '../../xml/element.ts';
import { findForm, rawValues } from '../../xmpp/dataform.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../../xmpp/stanza.ts';
import type { DirectoryRow } from './rows.ts';
import { memberInvites } from './settings.ts';

/** What most fields of the owner's form are called, before what tells them apart. */
const PREFIX = 'muc#roomconfig_';

export function roomAdministration(host: Host, router: Router): AdminRooms {
  const jidOf = (room: string): Jid | undefined => {
    const local = prepareLocal(room);
    return local === undefined ? undefined : Jid.of(local, host.domain);
  };

  /** @returns the payload of the result; undefined where there is no such room */
  async function ask(
    to: Jid | undefined,
    type: 'get' | 'set',
    payload: Element,
  ): Promise<Element | undefined | 'done'> {
    if (to === undefined) return undefined;
    const answer = await router.request(
      host,
      (id) => stanzaOf(el('iq', null, { type, id, from: host.domain, to: to.full }, payload), host.jid, to) as Iq,
    );
    if (answer.type === 'result') return answer.payload ?? 'done';
    const error = answer.el.getChild('error');
    const condition = error?.elements().find(({ name }) => name !== 'text')?.name ?? 'internal-server-error';
    if (condition === 'item-not-found' || condition === 'gone') return undefined;
    throw new RoomRefusal(condition, error?.getChildText('text', NS.stanzas));
  }

  const submit = (settings: Readonly<Record<string, readonly string[]>>): Element => {
    const fields = Object.entries({ FORM_TYPE: [NS.mucRoomConfig], ...settings }).map(([name, values]) =>
      el(
        'field',
        NS.dataForms,
        { var: name === 'FORM_TYPE' || /[#{]/.test(name) ? name : `${PREFIX}${name}` },
        ...values.map((value) => el('value', NS.dataForms, undefined, value)),
      ),
    );
    return el('query', NS.mucOwner, undefined, el('x', NS.dataForms, { type: 'submit' }, ...fields));
  };

  return {
    async list(): Promise<readonly RoomSummary[]> {
      const rooms: RoomSummary[] = [];
      const answer = await ask(host.jid, 'get', el('query', NS.mucOwner));
      const all = answer === undefined || answer === 'done' ? '[]' : answer.getText();
      for (const [local, row] of JSON.parse(all) as [string, DirectoryRow][]) {
        rooms.push({
          jid: `${local}@${host.domain}`,
          name: row.name ?? local,
          public: row.isPublic,
          membersOnly: row.isMembersOnly,
          persistent: row.isPersistent,
        });
      }
      return rooms.sort((one, other) => (one.jid < other.jid ? -1 : 1));
    },
    async show(room) {
      const [form, info] = [
        await ask(jidOf(room), 'get', el('query', NS.mucOwner)),
        await ask(jidOf(room), 'get', el('query', NS.discoInfo)),
      ];
      const shown = form === undefined || form === 'done' ? undefined : findForm(form, NS.mucRoomConfig);
      if (shown === undefined || info === undefined || info === 'done') return undefined;
      const settings: Record<string, readonly string[]> = {};
      for (const [name, values] of rawValues(shown)) {
        // the second name of a setting, and what is a secret
        if (name === 'FORM_TYPE' || name === memberInvites || name === `${PREFIX}roomsecret`) continue;
        settings[name.replace(PREFIX, '').replace(/^\{.*\}(roomconfig_)?/, '')] = values;
      }
      const more = rawValues(findForm(info, NS.mucRoomInfo) ?? info);
      return {
        jid: jidOf(room)!.full,
        occupants: Number(more.get('muc#roominfo_occupants')?.[0] ?? 0),
        subject: more.get('muc#roominfo_subject')?.[0],
        settings,
      };
    },
    async create(room, settings) {
      const to = jidOf(room);
      if (to === undefined) throw new RoomRefusal('jid-malformed');
      if ((await ask(jidOf(room), 'get', el('query', NS.mucOwner))) !== undefined) return false;
      await ask(jidOf(room), 'set', submit({ ...settings, persistentroom: ['1'] }));
      return true;
    },
    async set(room, settings) {
      // a room that is not there would be made by that
      if ((await ask(jidOf(room), 'get', el('query', NS.mucOwner))) === undefined) return false;
      return (await ask(jidOf(room), 'set', submit(settings))) !== undefined;
    },
    async affiliate(room, changes) {
      const items = [...changes].map(([jid, affiliation]) => el('item', NS.mucAdmin, { jid, affiliation }));
      return (await ask(jidOf(room), 'set', el('query', NS.mucAdmin, undefined, ...items))) !== undefined;
    },
    async destroy(room, { venue, reason }) {
      const why = reason === undefined ? [] : [el('reason', NS.mucOwner, undefined, reason)];
      const destroy = el('query', NS.mucOwner, undefined, el('destroy', NS.mucOwner, { jid: venue }, ...why));
      return (await ask(jidOf(room), 'set', destroy)) !== undefined;
    },
  };
}

/** A room does not do what an administrator wants. */
export class RoomRefusal extends Error {
  override readonly name = 'RoomRefusal';
  constructor(condition: string, text?: string) {
    super(text ?? condition);
  }
}
