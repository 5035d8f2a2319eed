// The counters of XEP-0198 against models of a few lines, also where they start again at zero.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Element, el } from '../../../src/xml/element.ts';
import { NS } from '../../../src/xmpp/ns.ts';
import { HandledCounter, refused, UnackedQueue } from '../../../src/xmpp/sm-counters.ts';

const WRAP = 2 ** 32;
const start = fc.oneof(fc.integer({ min: WRAP - 20, max: WRAP - 1 }), fc.constant(0));

describe('what was sent and is not acknowledged', () => {
  const command = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('push' as const), xml: fc.string({ maxLength: 5 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('ack' as const), ahead: fc.integer({ min: -3, max: 12 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('all' as const) }) },
  );

  test('is as a list from which the front is taken', () => {
    fc.assert(
      fc.property(start, fc.array(command, { maxLength: 400 }), (from, commands) => {
        const queue = new UnackedQueue(from);
        let acked = from;
        let list: string[] = [];
        for (const one of commands) {
          if (one.kind === 'push') {
            queue.push({ xml: one.xml, isFlat: true, at: 0, reach: undefined });
            list.push(one.xml);
          } else {
            const ahead = one.kind === 'all' ? list.length : one.ahead;
            const isPossible = ahead >= 0 && ahead <= list.length;
            expect(queue.acknowledge((acked + ahead + WRAP) % WRAP)).toBe(isPossible);
            if (isPossible) {
              list = list.slice(ahead);
              acked = (acked + ahead) % WRAP;
            }
          }
          expect(queue.acked).toBe(acked);
          expect(queue.sent).toBe((acked + list.length) % WRAP);
          expect(queue.length).toBe(list.length);
          expect(queue.size).toBe(list.join('').length);
        }
        expect(queue.waiting().map(({ xml }) => xml)).toEqual(list);
      }),
    );
  });

  test('who else has a message is told of when it is acknowledged, and of no other', () => {
    const queue = new UnackedQueue<string>();
    for (const reach of ['a', undefined, 'b', 'c']) queue.push({ xml: '<x/>', isFlat: true, at: 0, reach });
    const heard: string[] = [];
    const listener = { had: (reach: string) => void heard.push(reach) };
    expect(queue.acknowledge(9, listener)).toBe(false);
    expect(heard).toEqual([]);
    queue.acknowledge(3, listener);
    queue.acknowledge(3, listener);
    expect(heard).toEqual(['a', 'b']);
    queue.acknowledge(4);
    expect(heard).toEqual(['a', 'b']);
  });

  test('keeps no text of what was acknowledged', () => {
    const queue = new UnackedQueue();
    for (let i = 0; i < 1000; i++) {
      queue.push({ xml: `${i}`, isFlat: true, at: 0, reach: undefined });
      if (i >= 10) queue.acknowledge(queue.acked + 1);
    }
    expect(queue.length).toBe(10);
    expect(JSON.stringify(queue).length).toBeLessThan(1500);
  });
});

describe('what came and was handled', () => {
  const command = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), waits: fc.boolean() }),
    fc.record({ kind: fc.constant('ask' as const) }),
    fc.record({ kind: fc.constant('settle' as const), which: fc.nat() }),
  );

  test('is the longest run of settled stanzas, and each request is answered behind what came before it', async () => {
    await fc.assert(
      fc.asyncProperty(start, fc.array(command, { maxLength: 60 }), async (from, commands) => {
        const told: number[] = [];
        const counter = new HandledCounter({ sendAck: () => told.push(counter.h) }, from);
        // the model: every stanza in order, and behind which number of them somebody asked
        const settled: boolean[] = [];
        const resolve: (() => void)[] = [];
        const asked: number[] = [];
        const settle = async (which: number): Promise<void> => {
          settled[which] = true;
          resolve[which]!();
          await Promise.resolve();
          await Promise.resolve();
        };
        const check = (): void => {
          const run = settled.includes(false) ? settled.indexOf(false) : settled.length;
          expect(counter.h).toBe((from + run) % WRAP);
          expect(told.length).toBe(asked.filter((behind) => behind <= run).length);
          expect(counter.isIdle).toBe(run === settled.length);
        };
        for (const one of commands) {
          if (one.kind === 'ask') {
            asked.push(settled.length);
            counter.ask();
          } else if (one.kind === 'add') {
            let done = (): void => {};
            const work = one.waits ? new Promise<void>((ok) => (done = ok)) : undefined;
            settled.push(!one.waits);
            resolve.push(done);
            counter.add(work);
          } else {
            const open = settled.flatMap((isDone, i) => (isDone ? [] : [i]));
            if (open.length > 0) await settle(open[one.which % open.length]!);
          }
          check();
        }
        for (const [i, isDone] of settled.entries()) if (!isDone) await settle(i);
        check();
        await counter.idle();
        // never less than what came before the question
        for (const [i, behind] of asked.entries())
          expect((told[i]! - from + WRAP) % WRAP).toBeGreaterThanOrEqual(behind);
      }),
    );
  });

  test('nobody is answered who has gone', async () => {
    let answers = 0;
    const counter = new HandledCounter({ sendAck: () => answers++ });
    let done = (): void => {};
    counter.add(new Promise<void>((ok) => (done = ok)));
    counter.ask();
    counter.forgetAsked();
    done();
    await counter.idle();
    expect(answers).toBe(0);
    expect(counter.h).toBe(1);
  });

  test('what nobody can be told of that it failed was not handled, nor counts what came behind it', async () => {
    const counter = new HandledCounter({ sendAck: () => {} });
    const ends: ((isHandled: boolean | undefined) => void)[] = [];
    for (let i = 0; i < 3; i++) counter.add(new Promise((end) => ends.push(end)));
    counter.add();
    ends[0]!(undefined);
    ends[2]!(undefined);
    ends[1]!(false);
    await counter.idle();
    counter.add();
    expect(counter.h).toBe(1);
  });

  test.each([
    ['before it was read', 4, 1],
    ['when it was read', 5, 4],
    ['when more was read', 6, 4],
  ])('what was refused counts if the peer has read so: an end %s', async (_, acknowledged, h) => {
    let sent = 0;
    const counter = new HandledCounter({
      sendAck() {},
      get sent() {
        return (WRAP - 5 + sent) % WRAP;
      },
    });
    let end = (_outcome: unknown): void => {};
    counter.add();
    counter.add(new Promise((ok) => (end = ok)));
    counter.add();
    sent = 5;
    end(refused);
    await counter.idle();
    sent = 6;
    counter.add();
    counter.end((WRAP - 5 + acknowledged) % WRAP);
    expect(counter.h).toBe(h);
    // (whose end it was counts no more)
    counter.add();
    expect(counter.h).toBe(h === 4 ? 5 : h);
  });

  test('a refusal that nobody has read ends the count where it was, though what came before it is not done yet', async () => {
    const counter = new HandledCounter({ sendAck() {}, sent: 7 });
    let done = (): void => {};
    counter.add(new Promise<void>((ok) => (done = ok)));
    counter.add(Promise.resolve(refused));
    counter.add();
    await Promise.resolve();
    counter.end(6);
    done();
    await counter.idle();
    expect(counter.h).toBe(1);
  });
});

describe('what another process handled and could not count', () => {
  const say = (id: string, body = 'Ah'): Element =>
    el('message', null, { to: 'juliet@verona.test', type: 'chat', id }, el('body', null, undefined, body));
  const stanza = fc.record({
    isHandled: fc.boolean(),
    waits: fc.boolean(),
    asks: fc.boolean(),
    isLeftOut: fc.boolean(),
  });
  const tick = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) await Promise.resolve();
  };

  test('only counts when it is sent again, and nothing else is taken for it', async () => {
    await fc.assert(
      fc.asyncProperty(
        start,
        fc.array(stanza, { maxLength: 40 }),
        fc.array(fc.nat({ max: 40 }), { maxLength: 10 }),
        fc.nat({ max: 40 }),
        async (from, sent, others, stop) => {
          const first = new HandledCounter({ sendAck() {} }, from);
          const isDone: boolean[] = [];
          for (const [i, { isHandled, waits, asks }] of sent.entries()) {
            let end = (): void => {};
            first.add(waits || !isHandled ? new Promise<void>((ok) => (end = ok)) : undefined, say(`${i}`));
            if (asks) first.ask();
            if (isHandled) end();
            isDone.push(isHandled);
          }
          await tick();
          // the client sends all of it again from h on, but for what it leaves out, and has something to say in between
          let counted = (first.h - from + WRAP) % WRAP;
          let counter = new HandledCounter({ sendAck() {} }, first.h);
          counter.expect(JSON.parse(JSON.stringify(first.ahead())));
          const again = sent.flatMap(({ isLeftOut }, i) =>
            i < counted || isLeftOut ? [] : [{ id: `${i}`, isDone: isDone[i]! }],
          );
          for (const [i, at] of others.entries()) again.splice(at, 0, { id: `new ${i}`, isDone: false });
          for (const [i, { id, isDone: wasDone }] of again.entries()) {
            expect([id, counter.isRepeat(say(id))]).toEqual([id, wasDone]);
            counter.add(undefined, say(id));
            // and once more over to another process
            if (i === stop) {
              const next = new HandledCounter({ sendAck() {} }, counter.h);
              next.expect(counter.ahead());
              counter = next;
            }
          }
          counted = (counter.h - first.h + WRAP) % WRAP;
          expect(counted).toBe(again.length);
        },
      ),
    );
  });

  test('is known by what it says, also where it carries a delay now, and not by its id alone', () => {
    const counter = new HandledCounter({ sendAck() {} });
    counter.add(new Promise(() => {}), say('a'));
    counter.add(undefined, say('b'));
    counter.add(undefined, say('b', 'Oh'));
    const next = new HandledCounter({ sendAck() {} });
    next.expect(counter.ahead());
    expect(next.isRepeat(say('b', 'But soft'))).toBe(false);
    expect(next.isRepeat(say('b').append(el('delay', NS.delay, { stamp: '1591-01-01T00:00:00Z' })))).toBe(true);
    expect(next.isRepeat(say('b'))).toBe(false);
    expect(next.isRepeat(say('b', 'Oh').with({ from: 'romeo@verona.test/orchard' }))).toBe(true);
    expect(next.ahead()).toEqual([]);
  });

  test('is forgotten when it cannot come any more', () => {
    const counter = new HandledCounter({ sendAck() {} });
    counter.add(new Promise(() => {}), say('a'));
    counter.add(undefined, say('b'));
    const next = new HandledCounter({ sendAck() {} });
    next.expect(counter.ahead());
    for (let i = 0; i < 20; i++) {
      expect(next.isRepeat(say(`${i}`))).toBe(false);
      next.add(undefined, say(`${i}`));
    }
    expect(next.isRepeat(say('b'))).toBe(false);
  });

  test('is bounded', () => {
    const counter = new HandledCounter({ sendAck() {} });
    counter.add(new Promise(() => {}), say('a'));
    for (let i = 0; i < 2000; i++) counter.add(undefined, say(`${i}`));
    expect(counter.ahead().length).toBeLessThan(600);
  });

  test('is known also where counting has ended', async () => {
    const counter = new HandledCounter({ sendAck() {} });
    let end = (_isHandled: boolean): void => {};
    counter.add(new Promise((ok) => (end = ok)), say('a'));
    counter.add(undefined, say('b'));
    end(false);
    await counter.idle();
    expect(counter.ahead().map(([number]) => number)).toEqual([2]);
  });
});
