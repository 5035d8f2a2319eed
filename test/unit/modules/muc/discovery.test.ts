import { describe, expect, test } from 'vitest';
import type { RoomConfig } from '../../../../src/modules/muc/config.ts';
import { describeRoom, listOccupants } from '../../../../src/modules/muc/discovery.ts';
import { contextOf } from '../../../../src/modules/muc/iq.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { findForm, rawValues } from '../../../../src/xmpp/dataform.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { TestRoom } from '../../../kit/muc-room.ts';

const secretRoom = { isMembersOnly: true, isPublic: false, password: 'x' };

function cave(config: Partial<RoomConfig>): TestRoom {
  const room = new TestRoom({}, { 'romeo@v.test': 'owner', 'nurse@v.test': 'member', 'tybalt@v.test': 'outcast' });
  room.join('romeo@v.test/orchard', 'Romeo');
  room.take(
    "<message from='romeo@v.test/orchard' to='coven@rooms.test' type='groupchat'><subject>Spells</subject></message>",
  );
  room.room.config = { ...room.room.config, ...config };
  return room;
}
const about = async ({ room }: TestRoom, who: string): Promise<Element> =>
  describeRoom(contextOf(room, Jid.parse(who)!), el('query', NS.discoInfo));
const subjectOf = async (room: TestRoom, who: string): Promise<readonly string[] | undefined> =>
  rawValues(findForm(await about(room, who), NS.mucRoomInfo)!).get('muc#roominfo_subject');
const occupantsFor = ({ room }: TestRoom, who: string): number =>
  listOccupants(contextOf(room, Jid.parse(who)!), el('query', NS.discoItems)).getChildren('item').length;

describe('what is told of a room', () => {
  test('is for everybody where everybody may come in', async () => {
    const room = cave({});
    expect(await subjectOf(room, 'juliet@v.test/balcony')).toEqual(['Spells']);
    expect(occupantsFor(room, 'juliet@v.test/balcony')).toBe(1);
  });

  test.each(Object.entries(secretRoom))('keeps from strangers what is said in a room with %s', async (key, value) => {
    const room = cave({ [key]: value });
    expect(await subjectOf(room, 'juliet@v.test/balcony')).toBeUndefined();
    expect(occupantsFor(room, 'juliet@v.test/balcony')).toBe(0);
    for (const insider of ['romeo@v.test/orchard', 'nurse@v.test/room']) {
      expect(await subjectOf(room, insider)).toEqual(['Spells']);
      expect(occupantsFor(room, insider)).toBe(1);
    }
  });

  test('keeps it from the banned in any case', async () => {
    const room = cave({});
    expect(await subjectOf(room, 'tybalt@v.test/sword')).toBeUndefined();
    expect(occupantsFor(room, 'tybalt@v.test/sword')).toBe(0);
  });

  test('names each feature once, and never the opposite too', async () => {
    const features = (await about(cave({}), 'juliet@v.test/x')).getChildren('feature').map(({ attrs }) => attrs.var);
    expect(new Set(features).size).toBe(features.length);
    expect(features.filter((name) => name?.startsWith('muc_'))).toEqual([
      'muc_open',
      'muc_public',
      'muc_semianonymous',
      'muc_temporary',
      'muc_unmoderated',
      'muc_unsecured',
    ]);
  });
});
