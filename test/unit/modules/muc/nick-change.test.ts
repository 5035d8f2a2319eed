import { describe, expect, test } from 'vitest';
import { jid, refusal, summary, TestRoom } from '../../../kit/muc-room.ts';

describe('another nick', () => {
  test('of one device leaves the others their occupant', () => {
    const coven = new TestRoom();
    coven.join('ann@v.test/1', 'Ann');
    coven.join('ann@v.test/2', 'Ann');
    coven.join('ben@v.test/1', 'Ben');
    coven.sent.length = 0;
    coven.take("<presence from='ann@v.test/2' to='coven@rooms.test/Cid'/>");
    const told = (device: string): string[] => coven.heard(device).map(summary);
    expect(told('ann@v.test/2')).toEqual([
      'Ann unavailable none participant => Cid 110 303',
      'Cid available none participant 110',
      'Ann available none participant',
    ]);
    expect(told('ann@v.test/1')).toEqual(['Cid available none participant']);
    expect(told('ben@v.test/1')).toEqual(['Cid available none participant', 'Ann available none participant']);
  });

  test('that looks like another one of the same person leaves both to them', () => {
    const coven = new TestRoom();
    coven.join('ann@v.test/1', 'Ann');
    coven.join('ann@v.test/2', 'ANN');
    coven.take("<presence type='unavailable' from='ann@v.test/2' to='coven@rooms.test/ANN'/>");
    for (const nick of ['Ann', 'ANN', 'ann']) {
      expect(refusal(() => coven.join('ben@v.test/1', nick))).toBe('conflict');
    }
    expect(coven.room.occupantOf(jid('ann@v.test/1'))?.nick).toBe('Ann');
    coven.take("<presence type='unavailable' from='ann@v.test/1' to='coven@rooms.test/Ann'/>");
    coven.join('ben@v.test/1', 'ann');
    expect(coven.room.occupants.size).toBe(1);
  });
});
