// The books of a chaos run must show what is wrong: otherwise it could not fail.
import { expect, test } from 'vitest';
import { Books, type Place } from './books.ts';

const first = { number: 1, began: 0 };
const second = { number: 2, began: Number.POSITIVE_INFINITY };

function open() {
  const books = new Books();
  const say = (from = 1, to = 2, session = 1) => {
    const entry = books.say(from, to, session);
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
      live: (session = first, stanzaId = id) => books.hear(to, session, 'session', xml(to, stanzaId)),
      caughtUp: (stanzaId = id) => result('catching up', to, stanzaId),
      archived: (stanzaId = id) => result('end', to, stanzaId),
      kept: (stanzaId = id) => result('end', from, stanzaId),
      /** As it is when all is well. */
      well() {
        message.live();
        message.archived();
        message.kept();
      },
      refuse: () => books.hear(from, first, 'session', `<message type='error' id='${id}'><error/></message>`),
    };
    return message;
  };
  return { books, say };
}

const none = {
  refused: 0,
  repeated: 0,
  half: 0,
  twice: 0,
  again: 0,
  late: 0,
  lost: 0,
  unkept: 0,
  unseen: 0,
  doubled: 0,
  misordered: 0,
  unanswered: 0,
};

test('what came once and is in both archives is well', () => {
  const { books, say } = open();
  for (let i = 0; i < 3; i++) say().well();
  expect(books.close()).toEqual({ account: { ...none, sent: 3, acknowledged: 3 }, examples: [] });
});

test('what was acknowledged and came nowhere is lost', () => {
  const { books, say } = open();
  say().kept();
  expect(books.close().account).toEqual({ ...none, sent: 1, acknowledged: 1, lost: 1 });
});

test('what only one archive has, nobody was shown, or nobody answered, is told apart', () => {
  const { books, say } = open();
  const [unkept, unseen, unanswered] = [say(), say(), say()];
  unkept.live();
  unkept.archived();
  unseen.archived();
  unseen.kept();
  unanswered.well();
  unanswered.entry.isAcknowledged = false;
  expect(books.close().account).toEqual({ ...none, sent: 3, acknowledged: 2, unkept: 1, unseen: 1, unanswered: 1 });
});

test('twice in an archive, and under two ids are doubled; twice on one session under one id is told apart', () => {
  const { books, say } = open();
  const [twice, stored, renamed] = [say(), say(), say()];
  twice.well();
  twice.live();
  stored.well();
  stored.archived('another');
  renamed.live(first, 'another');
  renamed.archived();
  renamed.kept();
  expect(books.close().account).toMatchObject({ doubled: 2, twice: 1 });
});

test('on the next session again under the same id is no double, nor is what its client sent twice', () => {
  const { books, say } = open();
  const [again, repeated] = [say(), say()];
  again.well();
  again.live(second);
  repeated.entry.attempts = 2;
  repeated.well();
  repeated.archived('another');
  expect(books.close().account).toEqual({ ...none, sent: 2, acknowledged: 2, again: 1, repeated: 1 });
  const more = open();
  const thrice = more.say();
  thrice.entry.attempts = 2;
  thrice.well();
  thrice.archived('b');
  thrice.archived('c');
  expect(more.books.close().account.doubled).toBe(1);
});

test('a message after a later one of its pair is out of order, unless it was meant for a session that is over', () => {
  const { books, say } = open();
  const [one, two, other, next] = [say(), say(), say(3, 2), say(1, 2, 2)];
  for (const message of [next, two, other, one]) message.live();
  two.live(second);
  one.live(second);
  const { account } = books.close();
  expect(account).toMatchObject({ misordered: 1, late: 1 });
});

test('what came back as an error was not promised', () => {
  const { books, say } = open();
  const message = say();
  message.entry.isAcknowledged = false;
  message.refuse();
  expect(books.close().account).toEqual({ ...none, sent: 1, acknowledged: 0, refused: 1 });
});

test('what only its sender knows to be taken was not promised, and is told', () => {
  const { books, say } = open();
  const [seen, half] = [say(), say()];
  for (const { entry } of [seen, half]) {
    entry.isAcknowledged = false;
    entry.isKnown = true;
  }
  seen.well();
  half.kept();
  expect(books.open).toBe(0);
  expect(books.close().account).toEqual({ ...none, sent: 2, acknowledged: 0, half: 1 });
});
