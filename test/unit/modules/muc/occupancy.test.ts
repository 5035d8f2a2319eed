// Who is in a room, and as what: any order of events leaves the room and a model of ten lines at one.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { operator } from '../../../../src/modules/muc/actor.ts';
import { changeAffiliations } from '../../../../src/modules/muc/affiliations.ts';
import { isAtLeast } from '../../../../src/modules/muc/associations.ts';
import { type Affiliation, affiliations, type Role, type RoomConfig } from '../../../../src/modules/muc/config.ts';
import { reconfigure } from '../../../../src/modules/muc/reconfigure.ts';
import { changeRoles } from '../../../../src/modules/muc/roles.ts';
import { bringIn, handOver } from '../../../../src/modules/muc/saved.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { jid, summary, TestRoom } from '../../../kit/muc-room.ts';

/** What somebody who looks at presence knows of a room: nick to affiliation and role. */
type Seen = Map<string, string>;

const people = ['a@v.test', 'b@v.test', 'c@w.test'];
const devices = people.flatMap((person) => [`${person}/1`, `${person}/2`]);
const nicks = ['Ann', 'Ben', 'Cid'];

interface Model {
  /** Nick of each device that is inside. */
  readonly inside: Map<string, string>;
  readonly affiliations: Map<string, Affiliation>;
  isMembersOnly: boolean;
}

class Play {
  readonly coven = new TestRoom({ isPersistent: true }, { 'owner@v.test': 'owner' });
  readonly model: Model = { inside: new Map(), affiliations: new Map(), isMembersOnly: false };
  /** What each device has put together from the presence that it was sent. */
  readonly seen = new Map<string, Seen>();

  of(person: string): Affiliation {
    return this.model.affiliations.get(person) ?? 'none';
  }

  private holder(nick: string): string | undefined {
    return [...this.model.inside].find(([, other]) => other === nick)?.[0].split('/')[0];
  }

  private mayEnter(device: string, nick: string): boolean {
    const person = device.split('/')[0]!;
    const affiliation = this.of(person);
    const isIn = affiliation !== 'outcast' && (!this.model.isMembersOnly || isAtLeast(affiliation, 'member'));
    return isIn && (this.holder(nick) ?? person) === person;
  }

  presence(device: string, nick: string): void {
    const isInside = this.model.inside.has(device);
    const isAllowed = this.mayEnter(device, nick);
    const x = isInside ? '' : "<x xmlns='http://jabber.org/protocol/muc'/>";
    const refused = refusalOf(() =>
      this.coven.take(`<presence from='${device}' to='coven@rooms.test/${nick}'>${x}</presence>`),
    );
    expect(refused === undefined).toBe(isAllowed);
    if (isAllowed) this.model.inside.set(device, nick);
  }

  leave(device: string): void {
    this.coven.take(`<presence type='unavailable' from='${device}' to='coven@rooms.test/x'/>`);
    this.model.inside.delete(device);
  }

  async affiliate(person: string, affiliation: Affiliation): Promise<void> {
    (await changeAffiliations(this.coven.room, operator, [{ jid: jid(person), affiliation }], 'operator'))();
    this.model.affiliations.set(person, affiliation);
    this.putOut();
  }

  async setMembersOnly(isMembersOnly: boolean): Promise<void> {
    const config: RoomConfig = { ...this.coven.room.config, isMembersOnly };
    (await reconfigure(this.coven.room, config, undefined))();
    this.model.isMembersOnly = isMembersOnly;
    this.putOut();
  }

  role(nick: string, role: Role): void {
    const isThere = this.holder(nick) !== undefined;
    const refused = refusalOf(() => changeRoles(this.coven.room, operator, [{ nick, role }])());
    if (!isThere) expect(refused).toBe('item-not-found');
    if (refused !== undefined || role !== 'none') return;
    for (const [device, other] of this.model.inside) if (other === nick) this.model.inside.delete(device);
  }

  /** The room goes to another node and comes back. */
  move(): void {
    const { room } = this.coven;
    const handed = JSON.parse(JSON.stringify(handOver(room)));
    for (const occupant of [...room.occupants.values()]) room.displace(occupant);
    bringIn(room, handed.occupants, false);
  }

  private putOut(): void {
    for (const device of this.model.inside.keys()) {
      const affiliation = this.of(device.split('/')[0]!);
      const isOut = affiliation === 'outcast' || (this.model.isMembersOnly && !isAtLeast(affiliation, 'member'));
      if (isOut) this.model.inside.delete(device);
    }
  }

  check(): void {
    const { room } = this.coven;
    const inside = [...room.occupants.values()].flatMap(({ nick, devices: own }) =>
      own.map((device) => [device.jid.full, nick] as const),
    );
    expect(new Map(inside)).toEqual(this.model.inside);
    expect([...this.coven.devices].map(([device, { nick }]) => [device, nick]).sort()).toEqual(
      [...this.model.inside].sort(),
    );
    expect(room.audience.map(({ full }) => full).sort()).toEqual([...this.model.inside.keys()].sort());
    for (const { bare, affiliation, role } of room.occupants.values()) {
      expect(affiliation).toBe(this.of(bare));
      expect(role).not.toBe('none');
      if (isAtLeast(affiliation, 'admin')) expect(role).toBe('moderator');
    }
    this.look();
    const truth: Seen = new Map(
      [...room.occupants.values()].map(({ nick, affiliation, role }) => [nick, `${affiliation} ${role}`]),
    );
    for (const device of this.model.inside.keys()) expect(this.seen.get(device)).toEqual(truth);
  }

  /** Devices read what they were sent. */
  private look(): void {
    for (const device of devices) {
      for (const element of this.coven.heard(device)) {
        if (element.name !== 'presence' || element.attrs.type === 'error') continue;
        const [nick = '', type, affiliation, role] = summary(element).split(' ');
        const x = element.getChild('x', 'http://jabber.org/protocol/muc#user')!;
        expect(element.children.at(-1)).toBe(x);
        const isSelf = x.getChildren('status').some(({ attrs }) => attrs.code === '110');
        const isRename = x.getChildren('status').some(({ attrs }) => attrs.code === '303');
        // out of the room, or another nick: what was known of the one before is over
        const seen = this.seen.get(device) ?? new Map<string, string>();
        if (type !== 'unavailable') seen.set(nick, `${affiliation} ${role}`);
        else if (isSelf && !isRename) seen.clear();
        else seen.delete(nick);
        this.seen.set(device, seen);
      }
    }
  }
}

function refusalOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof StanzaError) return error.condition;
    throw error;
  }
}

const step = fc.oneof(
  fc.tuple(fc.constant('presence' as const), fc.constantFrom(...devices), fc.constantFrom(...nicks)),
  fc.tuple(fc.constant('leave' as const), fc.constantFrom(...devices)),
  fc.tuple(fc.constant('affiliate' as const), fc.constantFrom(...people), fc.constantFrom(...affiliations)),
  fc.tuple(fc.constant('members' as const), fc.boolean()),
  fc.tuple(
    fc.constant('role' as const),
    fc.constantFrom(...nicks),
    fc.constantFrom<Role>('none', 'visitor', 'participant', 'moderator'),
  ),
  fc.constant(['move'] as const),
);

describe('whatever happens in a room', () => {
  test('those who are in it know who is, and as what', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40, size: 'max' }), async (steps) => {
        const play = new Play();
        for (const one of steps) {
          if (one[0] === 'presence') play.presence(one[1], one[2]);
          else if (one[0] === 'leave') play.leave(one[1]);
          else if (one[0] === 'affiliate') await play.affiliate(one[1], one[2]);
          else if (one[0] === 'members') await play.setMembersOnly(one[1]);
          else if (one[0] === 'role') play.role(one[1], one[2]);
          else play.move();
          play.check();
        }
      }),
      { numRuns: 200 },
    );
  });
});
