// The books of a chaos run must show what is wrong: otherwise it could not fail. Each rule is shown to fire on a forged account of a
// run, and each excuse to hold where something broke, and not elsewhere.
import { expect, test } from 'vitest';
import { type Account, Books, type Entry, type Place, type SessionMark } from './books.ts';
import { type Kind, Troubles } from './troubles.ts';

const MINUTE = 60_000;
const now = performance.now();

const session = (number: number, placed = now - MINUTE): SessionMark => ({
  number,
  placed,
  nodes: new Set(['north']),
  confirmed: 0,
  told: [],
});

function open() {
  const troubles = new Troubles();
  const books = new Books(troubles);
  const first = session(1);
  /** Something broke, so many milliseconds from now. */
  const broke = (kind: Kind, node: string | undefined, from: number, to: number): void => {
    troubles.begin(kind, node, now + from).to = now + to;
  };
  /** Said now, by somebody on the node south to somebody on the node north. */
  const say = (from = 1, to = 2, senders = 1) => {
    const entry = books.say(from, to, senders);
    books.write(entry, 'south', now);
    entry.isAcknowledged = true;
    const id = entry.body.replaceAll(' ', '-');
    const xml = (by: number, stanzaId: string): string =>
      `<message id='${id}'><body>${entry.body}</body><stanza-id xmlns='urn:xmpp:sid:0' by='user${by}@h' id='${stanzaId}'/></message>`;
    const result = (place: Place, person: number, stanzaId: string): void =>
      void books.hear(
        person,
        first,
        place,
        `<message><result id='${stanzaId}'>${xml(person, stanzaId)}</result></message>`,
      );
    const message = {
      entry,
      live: (on = first, stanzaId = id, count = 1) => books.hear(to, on, 'session', xml(to, stanzaId), count),
      caughtUp: (stanzaId = id) => result('catching up', to, stanzaId),
      archived: (stanzaId = id) => result('end', to, stanzaId),
      kept: (stanzaId = id) => result('end', from, stanzaId),
      /** As it is when all is well. */
      well() {
        message.live();
        message.archived();
        message.kept();
        return message;
      },
      /** Its client sends it once more, over another node, so many milliseconds later. */
      again(later: number) {
        entry.attempts++;
        books.write(entry, 'north', now + later);
      },
      /** Never acknowledged; its sender finds it in the archive. */
      onlyKnown() {
        entry.isAcknowledged = false;
        entry.isKnown = true;
        return message;
      },
      refuse() {
        entry.isAcknowledged = false;
        books.hear(from, first, 'session', `<message type='error' id='${id}'><error/></message>`);
      },
    };
    return message;
  };
  return { books, say, broke, first };
}

/** What is not zero. */
function told(books: Books): Partial<Account> {
  return Object.fromEntries(Object.entries(books.close().account).filter(([, n]) => n > 0));
}

const one = { sent: 1, acknowledged: 1, received: 1 };

test('what came once and is in both archives is well', () => {
  const { books, say } = open();
  for (let i = 0; i < 3; i++) say().well();
  expect(told(books)).toEqual({ sent: 3, acknowledged: 3, received: 3 });
  expect(books.close().examples).toEqual([]);
});

test('what was acknowledged and came nowhere is lost', () => {
  const { books, say } = open();
  say().kept();
  expect(told(books)).toEqual({ sent: 1, acknowledged: 1, lost: 1 });
  expect(books.close().examples[0]).toMatch(/^lost: "say 1 2 1", sent 1 times \(south at/);
});

test('what only one archive has, nobody was shown, or nobody answered, is told apart', () => {
  const { books, say } = open();
  const [unkept, unsent, unseen, caughtUp, unanswered] = [say(), say(), say(), say(), say()];
  unkept.live();
  unkept.archived();
  unsent.live();
  unsent.kept();
  for (const message of [unseen, caughtUp]) {
    message.archived();
    message.kept();
  }
  caughtUp.caughtUp();
  unanswered.well().entry.isAcknowledged = false;
  expect(told(books)).toEqual({ sent: 5, acknowledged: 4, received: 4, unkept: 2, unseen: 1, unanswered: 1 });
});

test('twice in an archive of either, or under two ids, is doubled', () => {
  const { books, say } = open();
  const [stored, kept, renamed] = [say().well(), say().well(), say()];
  stored.archived('another');
  kept.kept('another');
  renamed.live(undefined, 'another');
  renamed.archived();
  renamed.kept();
  expect(told(books)).toEqual({ sent: 3, acknowledged: 3, received: 3, doubled: 3 });
});

test('what its client sent twice may be there twice where something kept its first node from dealing with it', () => {
  const cases: [Partial<Account>, (parts: ReturnType<typeof open>) => void][] = [
    [{ repeated: 1 }, ({ broke }) => broke('freeze', 'south', -1_000, 20_000)],
    [{ repeated: 1 }, ({ broke }) => broke('postgres-restart', undefined, 1_000, 2_000)],
    [{ doubled: 1 }, () => {}],
    // not by what was on another node, was over long before, came after, or takes nothing away
    [{ doubled: 1 }, ({ broke }) => broke('freeze', 'north', -1_000, 20_000)],
    [{ doubled: 1 }, ({ broke }) => broke('freeze', 'south', -40_000, -20_000)],
    [{ doubled: 1 }, ({ broke }) => broke('freeze', 'south', 40_000, 60_000)],
    [{ doubled: 1 }, ({ broke }) => broke('stop', 'south', -1_000, 20_000)],
    [{ doubled: 1 }, ({ broke }) => broke('cuts', undefined, -1_000, 20_000)],
  ];
  for (const [outcome, breakIt] of cases) {
    const parts = open();
    breakIt(parts);
    const message = parts.say().well();
    message.again(30_000);
    message.archived('another');
    expect(told(parts.books)).toEqual({ ...one, ...outcome });
  }
});

test('more often than its client sent it is doubled, whatever broke', () => {
  const { books, say, broke } = open();
  broke('freeze', 'south', -1_000, 20_000);
  const message = say().well();
  message.again(30_000);
  message.archived('another');
  message.archived('a third');
  expect(told(books)).toEqual({ ...one, doubled: 1 });
});

test('on the next session again is none the worse where the server did not know that it had come, and wrong where it did', () => {
  for (const [confirmed, outcome] of [
    [6, { again: 1 }],
    [7, { reshown: 1 }],
  ] as const) {
    const { books, say, first } = open();
    const message = say();
    message.live(first, undefined, 7);
    message.archived();
    message.kept();
    first.confirmed = confirmed;
    message.live(session(2));
    expect(told(books)).toEqual({ ...one, ...outcome });
  }
});

test('on the same session again, or after the server knew, is excused where that node died just then', () => {
  const cases: [Partial<Account>, Kind, string, number][] = [
    [{ twice: 1 }, 'kill', 'north', 500],
    [{ twice: 1 }, 'no-redis', 'north', -500],
    [{ reshown: 1 }, 'kill', 'south', 500],
    [{ reshown: 1 }, 'kill', 'north', 20_000],
    [{ reshown: 1 }, 'no-redis', 'north', -20_000],
    [{ reshown: 1 }, 'stop', 'north', 500],
  ];
  for (const [outcome, kind, node, at] of cases) {
    const { books, say, broke, first } = open();
    broke(kind, node, at, 30_000);
    const message = say().well();
    message.live(first, undefined, 2);
    expect(told(books)).toEqual({ ...one, ...outcome });
  }
});

test('on the next session again is excused where a node died that had just heard of the acknowledgement, and not later', () => {
  for (const [died, outcome] of [
    [6_000, { again: 1 }],
    [9_000, { reshown: 1 }],
    [4_000, { reshown: 1 }],
  ] as const) {
    const { books, say, broke, first } = open();
    broke('kill', 'north', died, 30_000);
    const message = say().well();
    first.told.push({ count: 0, at: now + 1_000 }, { count: 1, at: now + 5_000 });
    first.confirmed = 1;
    message.live(session(2));
    expect(told(books)).toEqual({ ...one, ...outcome });
  }
});

test('on the next session again is excused where Redis lost its memory just after it had come, and a node died before it was back', () => {
  for (const [lost, back, node, died, outcome] of [
    [800, 9_000, 'north', 12_000, { again: 1 }],
    [800, 9_000, 'south', 12_000, { reshown: 1 }],
    [800, 9_000, 'north', 30_000, { reshown: 1 }],
    [5_000, 9_000, 'north', 12_000, { reshown: 1 }],
    [-9_000, -5_000, 'north', 4_000, { reshown: 1 }],
  ] as const) {
    const { books, say, broke, first } = open();
    broke('redis-empty', undefined, lost, back);
    broke('kill', node, died, 40_000);
    const message = say().well();
    first.confirmed = 1;
    message.live(session(2));
    expect(told(books)).toEqual({ ...one, ...outcome });
  }
});

test('what a node that died had dealt with may come twice to the next session, and not a third time', () => {
  for (const [times, outcome] of [
    [2, { again: 1, twice: 1 }],
    [3, { again: 1, twice: 1, reshown: 1 }],
  ] as const) {
    const { books, say, broke } = open();
    broke('freeze', 'north', 500, 9_000);
    const message = say().well();
    const next = { ...session(2), nodes: new Set(['south']) };
    for (let i = 0; i < times; i++) message.live(next, undefined, i + 1);
    expect(told(books)).toEqual({ ...one, ...outcome });
  }
});

test('after a later one of its pair is out of order, on a session and in an archive; each session of its sender is for itself', () => {
  const { books, say } = open();
  const [a, b, other, next] = [say(), say(), say(3, 2), say(1, 2, 2)];
  for (const message of [next, b, other, a]) {
    message.live();
    message.kept();
  }
  for (const message of [a, b, other, next]) message.archived();
  expect(told(books)).toEqual({ sent: 4, acknowledged: 4, received: 4, misordered: 2 });
});

test('out of order is excused where the node of its sender could not know yet where the recipient is', () => {
  const cases: [Partial<Account>, number, Parameters<ReturnType<typeof open>['broke']> | undefined][] = [
    [{ late: 1 }, now - 1_000, undefined],
    [{ misordered: 1 }, now - 10_000, undefined],
    [{ late: 1 }, now - 10_000, ['no-redis', 'south', -12_000, -5_000]],
    [{ late: 1 }, now - 10_000, ['redis-restart', undefined, -12_000, -5_000]],
    // it had heard of the session before, was itself again, or was not the one
    [{ misordered: 1 }, now - 10_000, ['no-redis', 'south', -5_000, 5_000]],
    [{ misordered: 1 }, now - 40_000, ['no-redis', 'south', -45_000, -20_000]],
    [{ misordered: 1 }, now - 10_000, ['no-redis', 'north', -12_000, -5_000]],
    // or could not write down what was to be kept
    [{ late: 1 }, now - 10_000, ['no-postgres', 'south', -12_000, -1_000]],
    [{ late: 1 }, now - 10_000, ['postgres-kill', undefined, 1_000, 5_000]],
    [{ misordered: 1 }, now - 10_000, ['no-postgres', 'south', -12_000, -5_000]],
    [{ misordered: 1 }, now - 10_000, ['no-postgres', 'south', 3_000, 5_000]],
    [{ misordered: 1 }, now - 10_000, ['no-postgres', 'north', -12_000, 5_000]],
  ];
  for (const [outcome, placed, trouble] of cases) {
    const { books, say, broke } = open();
    if (trouble !== undefined) broke(...trouble);
    const [a, b] = [say(), say()];
    for (const message of [b, a]) message.live(session(2, placed));
    for (const message of [a, b]) {
      message.archived();
      message.kept();
    }
    expect(told(books)).toEqual({ sent: 2, acknowledged: 2, received: 2, ...outcome });
  }
});

test('in an archive nothing excuses it', () => {
  const { books, say, broke } = open();
  broke('no-redis', 'south', -12_000, 5_000);
  const [a, b] = [say(), say()];
  for (const message of [a, b]) message.live();
  for (const message of [b, a]) {
    message.archived();
    message.kept();
  }
  expect(told(books)).toMatchObject({ misordered: 2 });
});

test('what came back as an error was not promised, and must not come', () => {
  const { books, say } = open();
  say().refuse();
  const undead = say();
  undead.refuse();
  undead.well();
  expect(told(books)).toEqual({ sent: 2, received: 1, refused: 2, undead: 1 });
});

test('what only its sender knows to be taken has to be there all the same', () => {
  const { books, say } = open();
  say().onlyKnown().well();
  say().onlyKnown().kept();
  const unkept = say().onlyKnown();
  unkept.live();
  unkept.kept();
  expect(books.open).toBe(0);
  expect(told(books)).toEqual({ sent: 3, received: 2, lost: 1, unkept: 1 });
});

test('what only its sender knows to be taken may not have been shown where its node was killed before it was handed on', () => {
  const cases: [Partial<Account>, (parts: ReturnType<typeof open>) => void][] = [
    [{ half: 1 }, ({ broke }) => broke('kill', 'south', 500, 5_000)],
    [
      { half: 1 },
      ({ broke }) => {
        broke('no-redis', 'south', -5_000, 20_000);
        broke('kill', 'south', 22_000, 25_000);
      },
    ],
    [{ unseen: 1 }, () => {}],
    [{ unseen: 1 }, ({ broke }) => broke('kill', 'north', 500, 5_000)],
    [{ unseen: 1 }, ({ broke }) => broke('kill', 'south', -5_000, -3_000)],
    [{ unseen: 1 }, ({ broke }) => broke('kill', 'south', 20_000, 25_000)],
    [{ unseen: 1 }, ({ broke }) => broke('freeze', 'south', 500, 30_000)],
  ];
  for (const [outcome, breakIt] of cases) {
    const parts = open();
    breakIt(parts);
    const message = parts.say().onlyKnown();
    message.archived();
    message.kept();
    expect(told(parts.books)).toEqual({ sent: 1, ...outcome });
  }
});

test('what came only at a login after all was over was not shown, unless Redis had forgotten who is there', () => {
  const cases: [Partial<Account>, (parts: ReturnType<typeof open>) => void][] = [
    [{ waited: 1 }, ({ broke }) => broke('redis-empty', undefined, -3_000, -2_000)],
    [{ waited: 1 }, ({ broke }) => broke('redis-empty', undefined, 1_000, 2_000)],
    [
      { waited: 1 },
      ({ broke }) => {
        broke('no-redis', 'south', -5_000, 30_000);
        broke('redis-empty', undefined, 20_000, 21_000);
      },
    ],
    [{ unseen: 1 }, () => {}],
    [{ unseen: 1 }, ({ broke }) => broke('redis-restart', undefined, -3_000, -2_000)],
    [{ unseen: 1 }, ({ broke }) => broke('redis-empty', undefined, -30_000, -29_000)],
    [{ unseen: 1 }, ({ broke }) => broke('redis-empty', undefined, 20_000, 21_000)],
    [
      { unseen: 1 },
      ({ broke }) => {
        broke('no-redis', 'north', -5_000, 30_000);
        broke('redis-empty', undefined, 20_000, 21_000);
      },
    ],
  ];
  for (const [outcome, breakIt] of cases) {
    const parts = open();
    breakIt(parts);
    const [message, before] = [parts.say(), parts.say(3, 2)];
    before.well();
    expect([...parts.books.waiting]).toEqual([2]);
    parts.books.isLastLook = true;
    before.caughtUp();
    message.well();
    expect(told(parts.books)).toEqual({ sent: 2, acknowledged: 2, received: 2, ...outcome });
  }
});

test('what nobody has said, or somebody else was told, is a ghost', () => {
  const { books, say, first } = open();
  const { entry } = say().well();
  books.hear(2, first, 'session', '<message><body>say 1 2 17</body></message>');
  books.hear(3, first, 'session', `<message><body>${entry.body}</body></message>`);
  expect(told(books)).toEqual({ ...one, invented: 2 });
});

test('what all that was said came to is all there: nothing is counted that is not of these books', () => {
  const { books, first } = open();
  expect(books.hear(2, first, 'session', '<message><body>hello</body></message>')).toBeUndefined();
  const said: Entry[] = [books.say(1, 2, 1), books.say(1, 2, 1), books.say(2, 1, 1)];
  expect(said.map(({ body }) => body)).toEqual(['say 1 2 1', 'say 1 2 2', 'say 2 1 1']);
  expect(told(books)).toEqual({ sent: 3, unanswered: 3 });
});
