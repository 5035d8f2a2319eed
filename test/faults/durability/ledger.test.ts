// The books of the tests of durability must show what is wrong: otherwise those tests could not fail.
import { expect, test } from 'vitest';
import { Ledger, type Place } from './ledger.ts';

const ledger = new Ledger();

function say(from: number, to: number) {
  const { entry, body } = ledger.say(from, to);
  entry.isAcknowledged = true;
  const id = body.replaceAll(' ', '-');
  return {
    entry,
    hear(place: Place, stanzaId = id) {
      const marks = `<stanza-id xmlns='urn:xmpp:sid:0' by='user${to}@h' id='${stanzaId}'/><stanza-id by='other@h' id='x'/>`;
      const message = `<message from='user${from}@h/r' id='${id}'><body>${body}</body>${marks}</message>`;
      ledger.hear(
        to,
        place,
        place === 'archive' ? `<message><result id='${stanzaId}'>${message}</result></message>` : message,
      );
    },
    keep: () => ledger.hear(from, 'archive', `<message><result id='s'><body>${body}</body></result></message>`),
    refuse: () => ledger.hear(from, 'live', `<message type='error' id='${id}'><error type='wait'/></message>`),
  };
}

test('what is archived on both sides is in order, wherever else it came', () => {
  for (let i = 0; i < 3; i++) {
    const message = say(1, 2);
    message.hear('live');
    message.hear('archive');
    message.keep();
  }
  const verdict = ledger.settle(() => true);
  expect(verdict).toEqual({
    sent: 3,
    acknowledged: 3,
    refused: 0,
    lost: 0,
    unkept: 0,
    doubled: 0,
    misordered: 0,
    undelivered: 0,
    examples: [],
  });
});

test('what was acknowledged and only came to a session is lost; what was not may be', () => {
  say(1, 2).hear('live');
  say(1, 2).entry.isAcknowledged = false;
  expect(ledger.settle()).toMatchObject({ sent: 2, acknowledged: 1, lost: 1 });
});

test('what waited offline is not lost, but the sender misses it', () => {
  say(1, 2).hear('offline');
  expect(ledger.settle()).toMatchObject({ lost: 0, unkept: 1 });
});

test('what came back as an error was not promised', () => {
  say(1, 2).refuse();
  expect(ledger.settle(() => true)).toMatchObject({ acknowledged: 0, refused: 1, lost: 0, undelivered: 0 });
});

test.each<[string, readonly [Place, string][]]>([
  [
    'twice on a session',
    [
      ['live', 'a'],
      ['live', 'a'],
    ],
  ],
  [
    'twice in the archive',
    [
      ['archive', 'a'],
      ['archive', 'b'],
    ],
  ],
  [
    'under two ids',
    [
      ['live', 'a'],
      ['archive', 'b'],
    ],
  ],
])('a message %s is doubled', (_what, places) => {
  const message = say(1, 2);
  for (const [place, id] of places) message.hear(place, id);
  message.keep();
  expect(ledger.settle()).toMatchObject({ doubled: 1 });
});

test('what comes again after its round is doubled', () => {
  const message = say(1, 2);
  message.hear('live');
  ledger.settle();
  message.hear('live');
  expect(ledger.settle()).toMatchObject({ sent: 0, doubled: 1 });
});

test('a message after a later one of the same pair is out of order; pairs are not ordered among each other', () => {
  const [first, second, other] = [say(1, 2), say(1, 2), say(3, 2)];
  for (const message of [second, other, first]) message.hear('live');
  expect(ledger.settle()).toMatchObject({ misordered: 1, doubled: 0 });
});

test('a message that was to come to a session and did not is undelivered', () => {
  say(1, 2).hear('archive');
  expect(ledger.waiting((person) => person === 2)).toBe(1);
  expect(ledger.settle((person) => person === 2)).toMatchObject({ undelivered: 1, lost: 0 });
});
