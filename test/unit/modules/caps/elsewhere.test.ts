import { beforeEach, expect, test } from 'vitest';
import type { MaybePromise } from '../../../../src/base/maybe.ts';
import type { Host } from '../../../../src/core/host.ts';
import type { Router } from '../../../../src/core/router.ts';
import type { Announced } from '../../../../src/modules/caps/announced.ts';
import { Elsewhere } from '../../../../src/modules/caps/elsewhere.ts';
import type { Roster, RosterItem } from '../../../../src/modules/roster/index.ts';
import { createEphemeral } from '../../../../src/storage/ephemeral.ts';
import type { EphemeralStore } from '../../../../src/storage/ports.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { type Presence, type Stanza, stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { FakeClock } from '../../../kit/clock.ts';

const romeo = Jid.parse('romeo@verona.test')!;
const paris = 'paris@mantua.test/tomb';
const [first, second] = ['QgayPKawpkPSDYmwT/WM94uAlu0=', 'q07IKJEyjvHSyhy//CH0CxmKi8w='];

let contacts: Record<string, RosterItem['subscription']>;
let clock: FakeClock;
let store: EphemeralStore<string>;
let elsewhere: Elsewhere;
/** What is to be found out, in the order in which it came. */
let open: { readonly announced: Announced; told(value: string | undefined): MaybePromise<void> }[];
let changes: string[];
let sent: string[];

beforeEach(() => {
  contacts = { 'paris@mantua.test': 'both', 'peter@mantua.test': 'from', 'nurse@verona.test': 'both' };
  clock = new FakeClock();
  store = createEphemeral(clock) as EphemeralStore<string>;
  open = [];
  changes = [];
  sent = [];
  const item = (subscription: RosterItem['subscription']): RosterItem => ({ subscription, groups: [], ver: 0 });
  elsewhere = new Elsewhere({
    host: { domain: 'verona.test' } as Host,
    router: {
      hostOf: (domain: string) => (domain.startsWith('groups.') ? { kind: 'rooms' } : undefined),
      tell: ({ el, to }: Stanza) => void sent.push(`${el.attrs.type} ${el.attrs.from} ${to.full}`),
    } as unknown as Router,
    roster: {
      get: (_: string, who: string) => (contacts[who] === undefined ? undefined : item(contacts[who])),
      all: () => new Map(Object.entries(contacts).map(([who, subscription]) => [who, item(subscription)])),
    } as unknown as Roster,
    store,
    resolve: (announced, _account, _jid, told) => void open.push({ announced, told }),
    changed: (_account, jid, was, value) => void changes.push(`${jid.full}: ${was} > ${value}`),
  });
});

function hear(from: string, inside: string, type = ''): void {
  const element = parseElement(`<presence ${type}>${inside}</presence>`);
  void elsewhere.heard(stanzaOf(element, Jid.parse(from)!, romeo) as Presence);
}
const c = (ver: string): string =>
  `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='${ver}'/>`;
const known = (): Record<string, string> => Object.fromEntries(store.all('romeo') as Map<string, string>);

test('what a contact can do is kept until he is gone, and told when it changes', () => {
  hear(paris, c(first));
  expect(known()).toEqual({});
  void open[0]!.told(`sha-1.${first}`);
  expect(known()).toEqual({ [paris]: `sha-1.${first}` });
  // the same once more, and presence that says nothing
  hear(paris, `<show>away</show>${c(first)}`);
  hear(paris, '<show>dnd</show>');
  expect(open).toHaveLength(1);
  hear(paris, c(second));
  void open[1]!.told(`sha-1.${second}`);
  expect(changes).toEqual([`${paris}: undefined > sha-1.${first}`, `${paris}: sha-1.${first} > sha-1.${second}`]);
  hear(paris, '', "type='unavailable'");
  expect(known()).toEqual({});
});

test('what nobody can know is forgotten', () => {
  hear(paris, c(first));
  void open[0]!.told(`sha-1.${first}`);
  hear(paris, c(second));
  void open[1]!.told(undefined);
  expect(known()).toEqual({});
});

test('what comes too late is of no account', () => {
  hear(paris, c(first));
  hear(paris, c(second));
  void open[1]!.told(`sha-1.${second}`);
  void open[0]!.told(`sha-1.${first}`);
  expect(known()).toEqual({ [paris]: `sha-1.${second}` });
  hear(paris, '', "type='unavailable'");
  hear(paris, c(first));
  hear(paris, '', "type='unavailable'");
  void open[2]!.told(`sha-1.${first}`);
  expect(known()).toEqual({});
});

test.each([
  ['a stranger', 'tybalt@mantua.test/x', ''],
  ['somebody of this domain, who is in the directory', 'nurse@verona.test/x', ''],
  ['an occupant of a room here', 'coven@groups.verona.test/nick', ''],
  ['an occupant of a room elsewhere', paris, "<x xmlns='http://jabber.org/protocol/muc#user'/>"],
  ['an address without a resource', 'paris@mantua.test', ''],
])('of %s nothing is kept', (_, from, inside) => {
  hear(from, c(first) + inside);
  expect(open).toEqual([]);
});

test('who is not heard of for two weeks is taken to be gone', async () => {
  hear(paris, c(first));
  void open[0]!.told(`sha-1.${first}`);
  await clock.advance(15 * 24 * 3_600_000);
  expect(known()).toEqual({});
});

test('a session that is older than what is remembered asks its contacts elsewhere, once', () => {
  const session = { jid: romeo.withResource('orchard'), available: true };
  void elsewhere.lookAgain({ ...session, available: false });
  expect(sent).toEqual([]);
  void elsewhere.lookAgain(session);
  void elsewhere.lookAgain(session);
  expect(sent).toEqual(['probe romeo@verona.test/orchard paris@mantua.test']);
});

test('nobody is asked where something is known', () => {
  hear(paris, c(first));
  void open[0]!.told(`sha-1.${first}`);
  void elsewhere.lookAgain({ jid: romeo.withResource('orchard'), available: true });
  expect(sent).toEqual([]);
});
