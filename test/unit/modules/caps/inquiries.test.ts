import { beforeEach, describe, expect, test } from 'vitest';
import type { Host } from '../../../../src/core/host.ts';
import type { Router } from '../../../../src/core/router.ts';
import { type Announced, announcedBy } from '../../../../src/modules/caps/announced.ts';
import { Inquiries } from '../../../../src/modules/caps/inquiries.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { capsVer } from '../../../../src/xmpp/caps.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import type { Iq } from '../../../../src/xmpp/stanza.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';

const romeo = Jid.parse('romeo@verona.test')!;
const device = (name: string): Jid => romeo.withResource(name);
const abroad = (i: number): Jid => Jid.parse(`c${i}@mantua.test/x`)!;

function discoInfo(feature: string): Element {
  const identity = el('identity', NS.discoInfo, { category: 'client', type: 'pc' });
  return el('query', NS.discoInfo, undefined, identity, el('feature', NS.discoInfo, { var: feature }));
}

function announces(feature: string, algorithm = 'sha-1'): Announced {
  const attrs = { hash: algorithm, node: 'urn:x', ver: capsVer(discoInfo(feature))! };
  return announcedBy(el('presence', null, undefined, el('c', NS.caps, attrs)))!;
}

interface Question {
  readonly to: string;
  readonly node: string | undefined;
  /** Undefined: an error. */
  answer(query: Element | undefined): Promise<void>;
}

let clock: FakeClock;
let asked: Question[];
let refused: number;
let inquiries: Inquiries;

/** What each was told, by full JID. */
let told: Map<string, readonly string[] | undefined>;

beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  refused = 0;
  told = new Map();
  const request = (_host: Host, make: (id: string) => Iq): Promise<Iq> => {
    const iq = make('id');
    return new Promise((resolve) => {
      asked.push({
        to: iq.to.full,
        node: iq.payload?.attrs.node,
        async answer(query) {
          const type = query === undefined ? 'error' : 'result';
          resolve({ ...iq, type, from: iq.to, to: iq.from, el: parseElement(`<iq type='${type}'/>`), payload: query });
          await turn();
        },
      });
    });
  };
  inquiries = new Inquiries({
    host: { domain: 'verona.test' } as Host,
    router: { request } as unknown as Router,
    clock,
    signal: new AbortController().signal,
    background: () => {},
    counted: (what) => {
      if (what === 'refused') refused++;
    },
  });
});

const ask = (announced: Announced, jid: Jid): void =>
  inquiries.ask(announced, { account: romeo, jid, told: (features) => void told.set(jid.full, features) });

describe('one question', () => {
  test('is enough for ten thousand who announce the same', async () => {
    const announced = announces('a');
    for (let i = 0; i < 10_000; i++) ask(announced, device(`d${i}`));
    expect(asked).toHaveLength(1);
    await asked[0]!.answer(discoInfo('a'));
    expect(told.size).toBe(10_000);
    expect([...told.values()].every((features) => features?.[0] === 'a')).toBe(true);
    expect(asked).toHaveLength(1);
  });

  test('asks by the node that was announced', () => {
    const announced = announces('a');
    ask(announced, device('d'));
    expect(asked[0]).toMatchObject({ to: 'romeo@verona.test/d', node: `urn:x#${announced.hash}` });
  });
});

describe('who does not prove what he announced', () => {
  test.each([
    ['answers with an error', undefined],
    ['answers with something else', discoInfo('b')],
  ])('and %s is followed by the next', async (_, answer) => {
    ask(announces('a'), device('liar'));
    ask(announces('a'), device('honest'));
    await asked[0]!.answer(answer);
    expect(told.size).toBe(0);
    expect(asked[1]!.to).toBe('romeo@verona.test/honest');
    await asked[1]!.answer(discoInfo('a'));
    expect(told.get('romeo@verona.test/honest')).toEqual(['a']);
    expect(refused).toBe(1);
  });

  test('is believed nothing, and not asked again for ten minutes', async () => {
    ask(announces('a'), device('liar'));
    await asked[0]!.answer(discoInfo('b'));
    expect(told.get('romeo@verona.test/liar')).toBeUndefined();
    ask(announces('a'), device('liar'));
    expect(asked).toHaveLength(1);
    await clock.advance(11 * 60_000);
    ask(announces('a'), device('liar'));
    expect(asked).toHaveLength(2);
  });

  test('does not keep others from being asked while nothing comes from him', async () => {
    ask(announces('a'), device('silent'));
    await clock.advance(3000);
    expect(asked).toHaveLength(1);
    // nobody else was there: who comes now is asked at once
    ask(announces('a'), device('honest'));
    expect(asked.map(({ to }) => to)).toEqual(['romeo@verona.test/silent', 'romeo@verona.test/honest']);
    await asked[1]!.answer(discoInfo('a'));
    expect(told.get('romeo@verona.test/silent')).toEqual(['a']);
    // what comes late changes nothing
    await asked[0]!.answer(discoInfo('b'));
    expect(told.get('romeo@verona.test/honest')).toEqual(['a']);
  });

  test('comes after those of our own', async () => {
    ask(announces('a'), abroad(0));
    for (let i = 1; i < 50; i++) ask(announces('a'), abroad(i));
    ask(announces('a'), device('honest'));
    await asked[0]!.answer(undefined);
    expect(asked[1]!.to).toBe('romeo@verona.test/honest');
  });

  test('is one of twenty at most who are asked for the same', async () => {
    for (let i = 0; i < 50; i++) ask(announces('a'), abroad(i));
    for (let i = 0; i < asked.length; i++) await asked[i]!.answer(discoInfo('b'));
    expect(asked).toHaveLength(20);
    expect(told.size).toBe(50);
    // and nothing is left of it
    ask(announces('a'), device('honest'));
    expect(asked).toHaveLength(21);
  });
});

describe('hash after hash', () => {
  test('of one account is looked at for a while, and then slowly', async () => {
    for (let i = 0; i < 100; i++) ask(announces(`f${i}`), device('flood'));
    expect(asked).toHaveLength(20);
    expect(told.has('romeo@verona.test/flood')).toBe(true);
    await clock.advance(60_000);
    for (let i = 100; i < 200; i++) ask(announces(`f${i}`), device('flood'));
    expect(asked).toHaveLength(30);
    // others are not concerned
    ask(announces('x'), Jid.parse('juliet@verona.test/balcony')!);
    expect(asked).toHaveLength(31);
  });

  test('of one domain is too', () => {
    for (let i = 0; i < 1000; i++) ask(announces(`f${i}`), abroad(i));
    expect(asked).toHaveLength(200);
    ask(announces('x'), Jid.parse('a@b.test/c')!);
    expect(asked).toHaveLength(201);
  });

  test('never has more than a thousand questions open', () => {
    for (let i = 0; i < 1200; i++) ask(announces(`f${i}`), Jid.parse(`a@d${i}.test/c`)!);
    expect(asked).toHaveLength(1000);
    expect(told.size).toBe(200);
  });
});

test('of an unknown hash function everybody is asked, and believed, for himself', async () => {
  const announced = announces('a', 'md6');
  ask(announced, device('one'));
  ask(announced, device('two'));
  expect(asked).toHaveLength(2);
  await asked[0]!.answer(discoInfo('b'));
  expect(told.get('romeo@verona.test/one')).toEqual(['b']);
  expect(told.has('romeo@verona.test/two')).toBe(false);
});
