// What is decided right before a session is written to, while its list is being read, cannot be read, and changes.
import { beforeEach, expect, test } from 'vitest';
import type { Session } from '../../../../src/core/sessions.ts';
import { Guards } from '../../../../src/modules/blocking/guards.ts';
import { BlockList } from '../../../../src/modules/blocking/list.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { type Stanza, stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { turn } from '../../../kit/clock.ts';

const romeo = Jid.parse('romeo@verona.test/orchard')!;

interface Reading {
  resolve(list: BlockList | undefined): void;
  reject(error: Error): void;
}

let guards: Guards;
let readings: Reading[];
/** What is answered at once. */
let known: { readonly list: BlockList | undefined } | undefined;
let heard: string[];
let session: Session;
let goesOn: boolean;

beforeEach(() => {
  readings = [];
  known = undefined;
  goesOn = true;
  guards = new Guards({
    lists: {
      of: () =>
        known === undefined ? new Promise((resolve, reject) => readings.push({ resolve, reject })) : known.list,
    },
    background: (work) => void work,
    pause: async () => goesOn,
  });
  session = newSession();
});

function newSession(): Session {
  const slots = new Map<unknown, unknown>();
  heard = [];
  return {
    jid: romeo,
    host: { domain: 'verona.test' },
    isOver: false,
    get: (slot: unknown) => slots.get(slot),
    set: (slot: unknown, value: unknown) => void slots.set(slot, value),
    deliver(stanza: Stanza) {
      if (guards.lets(this as unknown as Session, stanza)) heard.push(stanza.id ?? '');
    },
  } as unknown as Session;
}

function say(id: string, from = 'coven@rooms.test/nurse'): void {
  const element = parseElement(`<message from='${from}' id='${id}'><body>x</body></message>`);
  session.deliver(stanzaOf(element, Jid.parse(from)!, romeo));
}

const nurse = new BlockList(['coven@rooms.test/nurse']);

test('who has blocked nobody, or somebody else, is written to', () => {
  known = { list: undefined };
  say('1');
  known = { list: new BlockList(['coven@rooms.test/tybalt']) };
  guards.set([session], known.list);
  say('2');
  say('3', 'coven@rooms.test/tybalt');
  expect(heard).toEqual(['1', '2']);
});

test('until the list is read what might be blocked waits, in its order; the own account and server do not', async () => {
  guards.begin(session);
  say('1', 'coven@rooms.test/juliet');
  say('2');
  say('3', 'coven@rooms.test/juliet');
  say('own', 'romeo@verona.test/garden');
  say('server', 'verona.test');
  expect(heard).toEqual(['own', 'server']);
  readings[0]!.resolve(nurse);
  await turn();
  expect(heard).toEqual(['own', 'server', '1', '3']);
  expect(readings).toHaveLength(1);
});

test('while the database is away it is read again and again, and no more waits than is bearable', async () => {
  guards.begin(session);
  for (let i = 0; i < 1100; i++) say(String(i), 'coven@rooms.test/juliet');
  for (let i = 0; i < 3; i++) {
    readings[i]!.reject(new StorageUnavailable('away'));
    await turn();
  }
  expect(heard).toEqual([]);
  readings[3]!.resolve(nurse);
  await turn();
  expect(heard).toEqual(Array.from({ length: 1000 }, (_, i) => String(i)));
});

test('a module that stops leaves what waits to its successor', async () => {
  guards.begin(session);
  say('1');
  say('2', 'coven@rooms.test/juliet');
  goesOn = false;
  readings[0]!.reject(new StorageUnavailable('away'));
  await turn();
  expect(readings).toHaveLength(1);
  known = { list: nurse };
  guards = new Guards({ lists: { of: () => nurse }, background: (work) => void work, pause: async () => true });
  say('3', 'coven@rooms.test/juliet');
  expect(heard).toEqual(['2', '3']);
});

test('a change counts at once, and what was begun to be read before it does not', async () => {
  guards.begin(session);
  guards.set([session], nurse);
  readings[0]!.resolve(undefined);
  await turn();
  say('1');
  expect(heard).toEqual([]);
});

test('a change on another node counts at once, and then what is read', async () => {
  known = { list: new BlockList(['coven@rooms.test/tybalt']) };
  guards.begin(session);
  known = undefined;
  guards.change([session], nurse.jids, ['coven@rooms.test/tybalt']);
  say('1');
  say('2', 'coven@rooms.test/tybalt');
  expect(heard).toEqual(['2']);
  readings[0]!.resolve(undefined);
  await turn();
  say('3');
  expect(heard).toEqual(['2', '3']);
  guards.change([session], [], ['a.test']);
  say('4');
  expect(heard).toEqual(['2', '3', '4']);
});

test('when word may have been lost the list is read again, and the old one counts meanwhile', async () => {
  known = { list: nurse };
  guards.begin(session);
  known = undefined;
  guards.doubt();
  say('1');
  say('2', 'coven@rooms.test/juliet');
  expect(heard).toEqual(['2']);
  expect(readings).toHaveLength(1);
  readings[0]!.resolve(undefined);
  await turn();
  say('3');
  expect(heard).toEqual(['2', '3']);
});
