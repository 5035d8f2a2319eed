// The books of rooms must show what is wrong: each rule is shown to fire on a forged account of a run, and each excuse to hold where
// something broke, and not elsewhere.
import { expect, test } from 'vitest';
import type { SessionMark } from './books.ts';
import { type RoomAccount, RoomBooks } from './room-books.ts';
import { type Kind, Troubles } from './troubles.ts';

const MINUTE = 60_000;
const now = performance.now();

const session = (number = 1): SessionMark => ({
  number,
  placed: now - MINUTE,
  nodes: new Set(['north']),
  confirmed: 0,
  told: [],
});

function open() {
  const troubles = new Troubles();
  const books = new RoomBooks(troubles);
  const first = session();
  /** Who listens, from before anything is said. */
  const stay = books.enter(1, 2, first, now - MINUTE);
  const archive: string[] = [];
  let ids = 100;
  /** Something broke, so many milliseconds from now. */
  const broke = (kind: Kind, node: string | undefined, from: number, to: number): void => {
    troubles.begin(kind, node, now + from).to = now + to;
  };
  /** Said now and acknowledged, by somebody on the node south. */
  const say = (from = 1, on = 1) => {
    const spoken = books.say(1, from, on);
    books.write(spoken, 'south', now);
    spoken.isAcknowledged = true;
    const id = `id${++ids}`;
    const sent = spoken.body.replaceAll(' ', '-');
    const xml = (stanzaId: string, nick = `p${from}`): string =>
      `<message type='groupchat' id='${sent}' from='room1@groups.h/${nick}'><body>${spoken.body}</body>` +
      `<stanza-id xmlns='urn:xmpp:sid:0' by='room1@groups.h' id='${stanzaId}'/></message>`;
    const message = {
      spoken,
      id,
      xml,
      heard: (stanzaId = id, by = stay, mark = first, at = now) => {
        books.hear(2, mark, by, xml(stanzaId), 1, at);
        return message;
      },
      archived: (stanzaId = id) => {
        archive.push(`<message><result id='${stanzaId}'>${xml(stanzaId)}</result></message>`);
        return message;
      },
      well: () => message.heard().archived(),
      refuse: (type: string) => {
        const error = `<message type='error' id='${sent}' from='room1@groups.h'><error type='${type}'/></message>`;
        books.hear(from, first, undefined, error);
        return message;
      },
    };
    return message;
  };
  const examples: string[] = [];
  /** What is not zero. */
  const told = (): Partial<RoomAccount> => {
    books.readArchive(1, archive);
    const closed = books.close();
    examples.push(...closed.examples);
    return Object.fromEntries(Object.entries(closed.account).filter(([, n]) => n > 0));
  };
  return { books, broke, say, told, stay, archive, first, examples };
}

const one = { sent: 1, acknowledged: 1, heard: 1 };

test('what was heard once and is in the archive once is well', () => {
  const { say, told, examples } = open();
  for (let i = 0; i < 3; i++) say().well();
  expect(told()).toEqual({ sent: 3, acknowledged: 3, heard: 3 });
  expect(examples).toEqual([]);
});

test('what was acknowledged, or was found in the archive, and is not there, is lost', () => {
  const { say, told, examples } = open();
  say().heard();
  const { spoken } = say().heard();
  spoken.isAcknowledged = false;
  spoken.isKnown = true;
  expect(told()).toEqual({ sent: 2, acknowledged: 2, heard: 2, lost: 2 });
  expect(examples[0]).toMatch(/^in rooms lost: "in 1 1 1", session 1 \(south at/);
});

test('twice in the archive is doubled, whatever broke, also where it was refused', () => {
  const { say, told, broke } = open();
  broke('kill', 'south', -1_000, 1_000);
  say().well().archived('id900');
  say().refuse('wait').archived('id901').archived('id902');
  expect(told()).toEqual({ sent: 2, acknowledged: 1, heard: 1, refused: 1, unknown: 1, doubled: 2 });
});

test('heard under another id than that of the archive, or with ids that do not rise, the room was had by two', () => {
  const renamed = open();
  renamed.say().heard('id555').archived();
  expect(renamed.told()).toEqual({ ...one, divided: 1 });
  const falling = open();
  const [a, b] = [falling.say().heard(), falling.say(3).heard()];
  b.archived();
  a.archived();
  expect(falling.told()).toEqual({ sent: 2, acknowledged: 2, heard: 2, divided: 1 });
});

test('two readers who are given different archives are told of', () => {
  const { say, told, books, archive } = open();
  say().well();
  say().well();
  books.readArchive(1, archive);
  books.readArchive(1, archive.slice(1));
  expect(told()).toEqual({ sent: 2, acknowledged: 2, heard: 2, divided: 1 });
});

test('who stayed has missed what was not shown; who was not there, or left before or after, has not', () => {
  const { say, told, books, stay } = open();
  say().well();
  say().archived();
  say().well();
  // the last one is asked for only where the stay lasts
  say().archived();
  const later = books.enter(1, 3, session(2), now + 1);
  books.end(later);
  expect(told()).toMatchObject({ missed: 2 });
  const left = open();
  left.say().well();
  left.say().archived();
  left.say().well();
  left.say().archived();
  left.books.end(left.stay);
  expect(left.told()).toMatchObject({ missed: 1 });
  expect(stay.last).toBe('id103');
});

test('who came later, and was shown nothing before, has missed nothing of what was said before', () => {
  const { say, told, books, stay } = open();
  books.end(stay);
  say().archived();
  books.enter(1, 3, session(2), now + 1_000);
  expect(told()).toEqual({ sent: 1, acknowledged: 1 });
});

test('what nobody acknowledged need not have reached everybody', () => {
  const { say, told } = open();
  say().refuse('wait').archived();
  const { spoken } = say().archived();
  spoken.isAcknowledged = false;
  spoken.isKnown = true;
  expect(told()).toEqual({ sent: 2, acknowledged: 1, refused: 1, unknown: 1 });
});

test('again to one session is wrong, but where its node died just then; on the next session it is nothing', () => {
  const cases: [Partial<RoomAccount>, Kind | undefined, string, number][] = [
    [{ twice: 1 }, 'kill', 'north', 500],
    [{ reshown: 1 }, 'kill', 'south', 500],
    [{ reshown: 1 }, 'kill', 'north', 20_000],
    [{ reshown: 1 }, 'stop', 'north', 500],
    [{ reshown: 1 }, undefined, '', 0],
  ];
  for (const [outcome, kind, node, at] of cases) {
    const { say, told, broke } = open();
    if (kind !== undefined) broke(kind, node, at, at + 5_000);
    say().well().heard();
    expect(told()).toEqual({ ...one, heard: 2, ...outcome });
  }
  const { say, told, books } = open();
  const next = session(2);
  say()
    .well()
    .heard(undefined, books.enter(1, 2, next, now + 1), next);
  expect(told()).toEqual({ ...one, heard: 2 });
});

test('a third time on one session nothing excuses', () => {
  const { say, told, broke } = open();
  broke('kill', 'north', 500, 5_000);
  say().well().heard().heard();
  expect(told()).toEqual({ ...one, heard: 3, twice: 1, reshown: 1 });
});

test('refused for the moment it may be there or be heard; refused for good it must not', () => {
  const { say, told } = open();
  say().refuse('wait');
  say().refuse('wait').archived();
  say().refuse('wait').heard();
  say().refuse('modify');
  say().refuse('modify').archived();
  say().refuse('modify').heard();
  expect(told()).toEqual({ sent: 6, refused: 6, heard: 2, unknown: 1, unarchived: 1, undead: 2 });
});

test('what its sender did not find and says again may come after that only where something held it up', () => {
  const cases: [Partial<RoomAccount>, Kind, number, number][] = [
    [{ unknown: 1 }, 'freeze', -1_000, 20_000],
    [{ unknown: 1 }, 'no-postgres', 5_000, 6_000],
    [{ undead: 1 }, 'stop', -1_000, 20_000],
    [{ undead: 1 }, 'freeze', -60_000, -20_000],
    [{ undead: 1 }, 'freeze', 31_000, 40_000],
  ];
  for (const [outcome, kind, from, to] of cases) {
    const { say, told, broke } = open();
    broke(kind, 'north', from, to);
    const { spoken } = say().well();
    spoken.isAcknowledged = false;
    spoken.givenUpAt = now + 30_000;
    expect(told()).toEqual({ sent: 1, heard: 1, ...outcome });
  }
  const { say, told } = open();
  const { spoken } = say().heard();
  spoken.isAcknowledged = false;
  spoken.givenUpAt = now;
  expect(told()).toEqual({ sent: 1, heard: 1, unarchived: 1 });
});

test('after a later one of its sender is out of order in the archive; each session of a sender is for itself', () => {
  const { say, told, books, archive, stay } = open();
  books.end(stay);
  const [a, b, other, next] = [say(), say(), say(3), say(1, 2)];
  for (const [i, message] of [next, b, other, a].entries()) message.archived(`id${200 + i}`);
  expect(archive).toHaveLength(4);
  expect(told()).toEqual({ sent: 4, acknowledged: 4, misordered: 1 });
});

test('occupants read in the order of the archive, whoever has said it', () => {
  const { say, told } = open();
  const [a, b] = [say().archived(), say(3).archived()];
  b.heard();
  a.heard();
  expect(told()).toEqual({ sent: 2, acknowledged: 2, heard: 2, misordered: 1 });
});

test('neither acknowledged nor refused is unanswered', () => {
  const { say, told } = open();
  say().well().spoken.isAcknowledged = false;
  expect(told()).toEqual({ sent: 1, heard: 1, unanswered: 1 });
});

test('what nobody has said, or somebody else, or in another room, is invented', () => {
  const { say, told, books, stay, first, archive } = open();
  const { xml } = say().well();
  books.hear(2, first, stay, xml('id1', 'p3'));
  books.hear(2, first, stay, xml('id1').replace('in 1 1 1', 'in 1 1 17'));
  books.hear(2, first, stay, xml('id1').replace(/<stanza-id[^>]*>/, ''));
  books.hear(2, first, stay, '<message><body>hello</body></message>');
  books.readArchive(2, archive);
  expect(told()).toEqual({ ...one, invented: 4 });
});

test('out of a room without having left is wrong, also where Redis had forgotten', () => {
  const cases: [Kind, number, number][] = [
    ['redis-empty', -2_000, -1_000],
    ['redis-empty', -15_000, -14_000],
    ['redis-restart', -2_000, -1_000],
    ['kill', -2_000, -1_000],
  ];
  for (const [kind, from, to] of cases) {
    const { told, broke, books, stay } = open();
    broke(kind, undefined, from, to);
    stay.sureAt = now - 10_000;
    books.expel(stay, 'not-acceptable', now + 5_000);
    // what has ended does not end again
    books.expel(stay, 'not-acceptable', now + 6_000);
    expect(told()).toEqual({ expelled: 1 });
  }
});

test('out of a room whose lists Redis was away for once more before its node died is excused', () => {
  for (const [outcome, back] of [
    [{ forgotten: 1 }, -19_000],
    [{ expelled: 1 }, -24_000],
  ] as const) {
    const { told, broke, books, stay } = open();
    broke('redis-empty', undefined, -35_000, -30_000);
    broke('redis-restart', undefined, -29_000, back);
    broke('kill', 'north', -18_000, -17_000);
    stay.sureAt = now - 10_000;
    books.expel(stay, 'not-acceptable', now);
    expect(told()).toEqual(outcome);
  }
});

test('out of a room whose node died about when Redis had forgotten is excused, and not where it died before or later', () => {
  for (const [outcome, kind, died, sure = -10_000] of [
    [{ forgotten: 1 }, 'no-redis', -22_000],
    [{ expelled: 1 }, 'stop', -22_000],
    [{ forgotten: 1 }, 'kill', -36_000, -20_000],
    [{ expelled: 1 }, 'kill', -40_000, -20_000],
    [{ expelled: 1 }, 'kill', -18_000],
  ] as const) {
    const { told, broke, books, stay } = open();
    broke('redis-empty', undefined, -30_000, -25_000);
    broke(kind, 'north', died, died + 5_000);
    stay.sureAt = now + sure;
    books.expel(stay, 'not-acceptable', now);
    expect(told()).toEqual(outcome);
  }
});
