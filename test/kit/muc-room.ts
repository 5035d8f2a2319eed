// A room without a server: what it says and writes is there to be read.
import { HookTable } from '../../src/core/hooks.ts';
import type { Registration } from '../../src/core/module.ts';
import { arrive } from '../../src/modules/muc/arrivals.ts';
import { plainConfig, type RoomConfig } from '../../src/modules/muc/config.ts';
import { enter } from '../../src/modules/muc/enter.ts';
import type { RoomPorts } from '../../src/modules/muc/ports.ts';
import { Room } from '../../src/modules/muc/room.ts';
import type { AffiliationRow, OccupantRow, RoomRow } from '../../src/modules/muc/rows.ts';
import { parseElement } from '../../src/xml/document.ts';
import type { Element } from '../../src/xml/element.ts';
import type { StanzaError } from '../../src/xmpp/errors.ts';
import { type BareJid, Jid } from '../../src/xmpp/jid.ts';
import { stanzaOf } from '../../src/xmpp/stanza.ts';

/** Something that a room sent: to whom, and what. */
export interface Sent {
  readonly to: string;
  readonly element: Element;
}

export class TestRoom {
  readonly room: Room;
  readonly sent: Sent[] = [];
  /** How often it sent one element to many. */
  multicasts = 0;
  readonly rows = new Map<string, AffiliationRow>();
  readonly devices = new Map<string, OccupantRow>();
  row: RoomRow | undefined;
  /** Milliseconds since 1970. */
  time = 1_000_000;
  readonly work: Promise<unknown>[] = [];
  private lastId = 0;

  constructor(
    config: Partial<RoomConfig> = {},
    affiliations: Readonly<Record<string, AffiliationRow['affiliation']>> = {},
    handlers: readonly Registration[] = [],
  ) {
    const rows = Object.entries(affiliations).map(
      ([person, affiliation]) => [person as BareJid, { affiliation, at: 0 }] as const,
    );
    const state = { config: { ...plainConfig, ...config }, createdAt: 0, affiliations: new Map(rows) };
    this.room = new Room(jid('coven@rooms.test'), state, this.ports(handlers));
  }

  /** Sends a stanza to it: `from` and `to` are in the XML. Refusals are thrown. */
  take(xml: string): unknown {
    const el = parseElement(xml);
    const stanza = stanzaOf(el, jid(el.attrs.from!), jid(el.attrs.to!));
    return arrive(this.room, stanza, { keep: (work) => this.work.push(work), refuse: () => {} });
  }

  /** Lets a device in. */
  join(device: string, nick: string): void {
    const presence = parseElement("<presence><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    void enter(this.room, jid(device), nick, presence);
  }

  /** What it has sent to somebody since the last time that was asked. */
  heard(device: string): Element[] {
    const own = this.sent.filter(({ to }) => to === device).map(({ element }) => element);
    this.sent.splice(0, this.sent.length, ...this.sent.filter(({ to }) => to !== device));
    return own;
  }

  private ports(handlers: readonly Registration[]): RoomPorts {
    const hooks = new HookTable(
      handlers.flatMap((one) => (one.kind === 'hook' ? [{ ...one.handler, module: 'test' }] : [])),
      (_hook, _module, error) => {
        throw error;
      },
    );
    return {
      hooks: {
        gate: (hook, event) => hooks.runGate(hook, event),
        collect: (hook, event) => hooks.runCollect(hook, event),
        notify: (hook, event) => hooks.runNotify(hook, event),
        listens: (hook) => hooks.has(hook),
      },
      rows: {
        saveRoom: async (row) => {
          this.row = row;
        },
        saveAffiliations: async (rows) => {
          for (const [person, row] of rows) {
            if (row === undefined) this.rows.delete(person);
            else this.rows.set(person, row);
          }
        },
        saveRead: async () => {},
        saveGone: async () => {},
        write: async (work) => void (await work()),
        saveDevice: (device, row) => {
          if (row === undefined) this.devices.delete(device.full);
          else this.devices.set(device.full, row);
        },
      },
      mostOccupants: 1000,
      ours: () => {},
      now: () => this.time,
      newId: () => `id${++this.lastId}`,
      handler: () => undefined,
      multicast: (element, _from, to) => {
        this.multicasts++;
        for (const one of to) this.sent.push({ to: one.full, element });
      },
      send: (element, _from, to) => {
        this.sent.push({ to: to.full, element });
      },
      answer: (element, _from, to) => {
        this.sent.push({ to: to.full, element });
      },
      background: (work) => {
        this.work.push(work);
      },
    };
  }
}

export function jid(text: string): Jid {
  const parsed = Jid.parse(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** The condition that something is refused with. */
export function refusal(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as StanzaError).condition;
  }
}

/** The `<item/>` and the status codes of a presence, in a line. */
export function summary(element: Element): string {
  const x = element.getChild('x', 'http://jabber.org/protocol/muc#user');
  const { affiliation, role, jid: real, nick } = x?.getChild('item')?.attrs ?? {};
  const codes = x?.getChildren('status').map(({ attrs }) => attrs.code) ?? [];
  const type = element.attrs.type ?? 'available';
  return [element.attrs.from?.split('/')[1], type, affiliation, role, real, nick && `=> ${nick}`, ...codes]
    .filter((part) => part !== undefined)
    .join(' ');
}
