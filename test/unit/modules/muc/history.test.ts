import { describe, expect, test } from 'vitest';
import { on } from '../../../../src/core/module.ts';
import { evict } from '../../../../src/modules/muc/exit.ts';
import { roomHistory } from '../../../../src/modules/muc/hooks.ts';
import { el } from '../../../../src/xml/element.ts';
import { TestRoom } from '../../../kit/muc-room.ts';

const enter = "<presence from='ann@v.test/1' to='coven@rooms.test/Ann'><x xmlns='http://jabber.org/protocol/muc'>";
const hello = "<message from='ben@v.test/1' to='coven@rooms.test' type='groupchat' id='live'><body>x</body></message>";

describe('history', () => {
  test('comes before the subject, and what is said while it is read comes after that', async () => {
    let read = (): void => {};
    const reading = new Promise<void>((resolve) => {
      read = resolve;
    });
    let isSlow = false;
    const coven = new TestRoom({}, {}, [
      on(roomHistory, async ({ messages }) => {
        if (isSlow) await reading;
        messages.push(el('message', null, { id: 'old', type: 'groupchat' }));
      }),
    ]);
    coven.join('ben@v.test/1', 'Ben');
    await Promise.all(coven.work.splice(0));
    coven.sent.length = 0;
    isSlow = true;
    coven.take(`${enter}</x></presence>`);
    coven.take(hello);
    expect(coven.heard('ben@v.test/1').map(({ attrs }) => attrs.id)).toContain('live');
    expect(coven.heard('ann@v.test/1').map(({ name }) => name)).toEqual(['presence', 'presence']);
    read();
    await Promise.all(coven.work.splice(0));
    const heard = coven.heard('ann@v.test/1');
    expect(heard.map(({ attrs }) => attrs.id)).toEqual(['old', expect.stringMatching(/^id/), 'live']);
    expect(heard[1]!.getChild('subject')).toBeDefined();
    expect(coven.room.audience).toHaveLength(2);
  });

  test('is not for who has left meanwhile, nor what was said', async () => {
    let read = (): void => {};
    const coven = new TestRoom({}, {}, [
      on(
        roomHistory,
        () =>
          new Promise<void>((resolve) => {
            read = resolve;
          }),
      ),
    ]);
    coven.take(`${enter}</x></presence>`);
    coven.take("<presence type='unavailable' from='ann@v.test/1' to='coven@rooms.test/Ann'/>");
    coven.sent.length = 0;
    read();
    await Promise.all(coven.work.splice(0));
    expect(coven.sent).toEqual([]);
    expect(coven.room.waiting.size).toBe(0);
  });

  test('is waited for, with what was said meanwhile, before that is acknowledged', async () => {
    for (const end of ['read', 'left', 'kicked', 'read again']) {
      const reads: (() => void)[] = [];
      const wait = (): Promise<void> =>
        new Promise<void>((resolve) => {
          reads.push(resolve);
        });
      const coven = new TestRoom({}, { 'ben@v.test': 'owner' }, [on(roomHistory, wait)]);
      coven.join('ben@v.test/1', 'Ben');
      reads.shift()!();
      await Promise.all(coven.work.splice(0));
      coven.take(`${enter}</x></presence>`);
      coven.work.length = 0;
      coven.take(hello);
      let isAcknowledged = false;
      const acknowledged = Promise.all(coven.work.splice(0)).then(() => {
        isAcknowledged = true;
      });
      if (end === 'read again') coven.take(`${enter}</x></presence>`);
      await new Promise(setImmediate);
      expect(isAcknowledged).toBe(false);
      if (end === 'left') coven.take("<presence type='unavailable' from='ann@v.test/1' to='coven@rooms.test/Ann'/>");
      else if (end === 'kicked') evict(coven.room, coven.room.occupants.get('Ann')!, { codes: [307] });
      else for (const read of reads) read();
      await acknowledged;
      const ids = coven.heard('ann@v.test/1').map(({ attrs }) => attrs.id);
      expect(ids.includes('live')).toBe(end.startsWith('read'));
    }
  });

  test('comes to who takes another nick meanwhile, and so does what is said', async () => {
    for (const isOnlyDevice of [true, false]) {
      const reads: (() => void)[] = [];
      const wait = (): Promise<void> =>
        new Promise<void>((resolve) => {
          reads.push(resolve);
        });
      const coven = new TestRoom({}, {}, [on(roomHistory, wait)]);
      coven.join('ben@v.test/1', 'Ben');
      if (!isOnlyDevice) coven.join('ann@v.test/2', 'Ann');
      for (const read of reads) read();
      await Promise.all(coven.work.splice(0));
      coven.take(`${enter}</x></presence>`);
      coven.take("<presence from='ann@v.test/1' to='coven@rooms.test/Cid'/>");
      coven.sent.length = 0;
      coven.take(hello);
      expect(coven.heard('ann@v.test/1')).toEqual([]);
      for (const read of reads) read();
      await Promise.all(coven.work.splice(0));
      const heard = coven.heard('ann@v.test/1');
      const subject = heard.findIndex((element) => element.getChild('subject') !== undefined);
      expect(subject).toBeGreaterThan(-1);
      expect(heard.slice(subject + 1).map(({ attrs }) => attrs.id)).toContain('live');
      expect(coven.room.waiting.size).toBe(0);
      expect(coven.room.audience).toHaveLength(isOnlyDevice ? 2 : 3);
    }
  });

  test('is given up where too much is said before it is read, but the subject is not', async () => {
    const coven = new TestRoom({}, {}, [
      on(roomHistory, ({ occupant }) => (occupant.nick === 'Ann' ? new Promise<void>(() => {}) : undefined)),
    ]);
    coven.join('ben@v.test/1', 'Ben');
    await Promise.all(coven.work.splice(0));
    coven.take(`${enter}</x></presence>`);
    coven.sent.length = 0;
    for (let count = 0; count < 1100; count++) coven.take(hello);
    const heard = coven.heard('ann@v.test/1');
    expect(heard).toHaveLength(1101);
    expect(heard[0]!.getChild('subject')).toBeDefined();
  });

  test('is asked for in four ways', () => {
    const asked: unknown[] = [];
    const coven = new TestRoom({}, {}, [on(roomHistory, ({ request }) => void asked.push(request))]);
    const history = (attrs: string): void => {
      coven.take(`${enter}<history ${attrs}/></x></presence>`);
    };
    history("maxchars='0'");
    history("maxstanzas='20' seconds='100'");
    history("since='1970-01-01T00:10:00Z' seconds='999'");
    history("maxstanzas='-1' seconds='x' since='yesterday'");
    const nothing = { maxChars: undefined, maxStanzas: undefined, since: undefined };
    expect(asked).toEqual([
      { ...nothing, maxChars: 0 },
      { ...nothing, maxStanzas: 20, since: 900_000 },
      { ...nothing, since: 600_000 },
      nothing,
    ]);
  });
});
