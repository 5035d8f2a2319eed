import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operator } from '../../../../src/modules/muc/actor.ts';
import { changeAffiliations } from '../../../../src/modules/muc/affiliations.ts';
import { type Affiliation, affiliations } from '../../../../src/modules/muc/config.ts';
import { enter } from '../../../../src/modules/muc/enter.ts';
import { exit } from '../../../../src/modules/muc/exit.ts';
import { Room } from '../../../../src/modules/muc/room.ts';
import type { AffiliationRow } from '../../../../src/modules/muc/rows.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { Element } from '../../../../src/xml/element.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import { jid, TestRoom } from '../../../kit/muc-room.ts';

const USER = 'http://jabber.org/protocol/muc#user';
const MAV = 'urn:xmpp:muc:affiliations:1';
const READER = 'juliet@verona.test/balcony';
const open = { whois: 'anyone', isPersistent: true } as const;

describe('the versions of affiliations', () => {
  it('bring whoever follows them to what holds, whatever was missed, and after every restart', async () => {
    const person = fc.constantFrom('romeo@v.test', 'nurse@v.test', 'paris@v.test', 'tybalt@v.test');
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ person, to: fc.constantFrom<Affiliation>(...affiliations) }) },
      { weight: 1, arbitrary: fc.record({ person, to: fc.constant('removal' as const) }) },
      { weight: 2, arbitrary: fc.constantFrom('enter' as const, 'leave' as const, 'restart' as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = new TestRoom(open, { 'juliet@verona.test': 'owner' });
        const reader = new Reader();
        let { room } = world;
        for (const one of steps) {
          if (one === 'enter') reader.enter(room);
          else if (one === 'leave') exit(room, jid(READER), parseElement("<presence type='unavailable'/>"));
          else if (one === 'restart') room = restarted(world, room);
          else await change(room, one.person, one.to);
          reader.read(world.heard(READER));
          if (room.occupantOf(jid(READER)) !== undefined) expect(reader.list).toEqual(listOf(room));
        }
        reader.enter(room);
        reader.read(world.heard(READER));
        expect(reader.list).toEqual(listOf(room));
      }),
      { numRuns: 200 },
    );
  });

  it('are told in several messages where there is much to tell, each of which is a version', async () => {
    const world = new TestRoom(open, { 'juliet@verona.test': 'owner' });
    for (let person = 0; person < 1200; person++) await change(world.room, `p${person}@v.test`, 'member');
    const reader = new Reader();
    reader.enter(world.room);
    const messages = world.heard(READER).filter((element) => mavOf(element) !== undefined);
    expect(messages.map(({ name }) => name)).toEqual(['message', 'message', 'message', 'presence']);
    expect(messages.map((element) => element.getChild('x', USER)!.getChildren('item').length)).toEqual([
      500, 500, 201, 1,
    ]);
    // the connection breaks after the first, and the rest is asked for anew
    reader.read(messages.slice(0, 1));
    reader.enter(world.room);
    const rest = world.heard(READER).filter((element) => mavOf(element) !== undefined);
    expect(rest.map((element) => element.getChild('x', USER)!.getChildren('item').length)).toEqual([500, 201, 1]);
    reader.read(rest);
    expect(reader.list).toEqual(listOf(world.room));
  });

  it('cost what has changed, not what there is', async () => {
    const world = new TestRoom(open, { 'juliet@verona.test': 'owner' });
    for (let person = 0; person < 1000; person++) await change(world.room, `p${person}@v.test`, 'member');
    const reader = new Reader();
    reader.enter(world.room);
    reader.read(world.heard(READER));
    exit(world.room, jid(READER), parseElement("<presence type='unavailable'/>"));
    for (let time = 0; time < 5000; time++) await change(world.room, 'p1@v.test', time % 2 === 0 ? 'none' : 'admin');
    reader.enter(world.room);
    const [first] = world.heard(READER).filter(({ name }) => name === 'message');
    expect(first!.getChild('x', USER)!.getChildren('item')).toHaveLength(1);
    expect(world.room.versions.changedAfter(0, world.room.affiliations)).toHaveLength(1000);
  });

  it('forget who had an affiliation when they are too many, or it is too long ago; what is older is told as a whole', async () => {
    const world = new TestRoom(open, { 'juliet@verona.test': 'owner' });
    const early = new Reader();
    early.enter(world.room);
    early.read(world.heard(READER));
    exit(world.room, jid(READER), parseElement("<presence type='unavailable'/>"));
    for (let person = 0; person <= 1000; person++) {
      await change(world.room, `p${person}@v.test`, 'member');
      await change(world.room, `p${person}@v.test`, 'none');
    }
    expect(world.room.versions.removed.size).toBe(500);
    expect([...world.rows.values()].filter(({ affiliation }) => affiliation === 'none')).toHaveLength(500);
    expect(world.row?.versionFloor).toBe(world.room.versions.floor);
    const room = restarted(world, world.room);
    early.enter(room);
    const heard = world.heard(READER);
    expect(mavOf(heard.find(({ name }) => name === 'message')!)!.attrs.since).toBeUndefined();
    early.read(heard);
    expect(early.list).toEqual(listOf(room));

    world.time += 91 * 24 * 3_600_000;
    await change(room, 'romeo@v.test', 'member');
    expect(room.versions.removed.size).toBe(0);
    expect([...world.rows.values()].filter(({ affiliation }) => affiliation === 'none')).toHaveLength(0);
  });

  it('leave nothing of an account that is removed, and are never given twice', async () => {
    const world = new TestRoom(open, { 'juliet@verona.test': 'owner' });
    await change(world.room, 'romeo@v.test', 'member');
    await change(world.room, 'romeo@v.test', 'removal');
    expect([...world.rows.keys()]).toEqual([]);
    const { current } = world.room.versions;
    expect(restarted(world, world.room).versions.current).toBe(current);
  });
});

/** A client that keeps a list of affiliations as the specification says. */
class Reader {
  list: Record<string, string> = {};
  private version: string | undefined;

  enter(room: Room): void {
    const since = this.version === undefined ? '' : ` since='${this.version}'`;
    const x = `<x xmlns='http://jabber.org/protocol/muc'><mav xmlns='${MAV}'${since}/></x>`;
    void enter(room, jid(READER), 'Juliet', parseElement(`<presence>${x}</presence>`));
  }

  read(heard: readonly Element[]): void {
    for (const element of heard) {
      const mav = mavOf(element);
      if (mav === undefined) continue;
      const { since, until } = mav.attrs;
      const isOwn = element.name === 'presence' && since === undefined;
      if (isOwn) {
        expect(until).toBe(this.version);
        continue;
      }
      if (since === undefined) this.list = {};
      else expect(since).toBe(this.version);
      this.version = until;
      for (const { attrs } of element.getChild('x', USER)!.getChildren('item')) {
        const person = attrs.jid!.split('/')[0]!;
        if (attrs.affiliation === 'none') delete this.list[person];
        else this.list[person] = attrs.affiliation!;
      }
    }
  }
}

const mavOf = (element: Element): Element | undefined => element.getChild('x', USER)?.getChild('mav', MAV);

function listOf(room: Room): Record<string, string> {
  return Object.fromEntries([...room.affiliations].map(([person, { affiliation }]) => [person, affiliation]));
}

async function change(room: Room, person: string, to: Affiliation | 'removal'): Promise<void> {
  const affiliation = to === 'removal' ? 'none' : to;
  const cause = to === 'removal' ? 'removal' : 'request';
  (await changeAffiliations(room, operator, [{ jid: jid(person), affiliation }], cause))();
}

/** The room as its rows have it; nobody is in it. */
function restarted(world: TestRoom, { config, createdAt, ports }: Room): Room {
  const owner = ['juliet@verona.test' as BareJid, { affiliation: 'owner', at: 0 }] as const;
  const rows = new Map([owner, ...world.rows] as [BareJid, AffiliationRow][]);
  return new Room(jid('coven@rooms.test'), { ...world.row, config, createdAt, affiliations: rows }, ports);
}
