// What scenarios do not reach of telling components about presence: many accounts, several nodes, ends in the middle.
import { afterEach, expect, test } from 'vitest';
import type { Cluster } from '../../../../src/cluster/cluster.ts';
import type { Grant } from '../../../../src/config/components.ts';
import type { Host } from '../../../../src/core/host.ts';
import type { Router } from '../../../../src/core/router.ts';
import { Transit } from '../../../../src/core/transit.ts';
import { presenceOf } from '../../../../src/modules/presence/stanzas.ts';
import { Watchers } from '../../../../src/modules/privileged/watchers.ts';
import type { Roster, RosterItem } from '../../../../src/modules/roster/index.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import type { Stanza } from '../../../../src/xmpp/stanza.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { createNodes } from '../../../kit/cluster-pair.ts';

const component = Jid.parse('pubsub.verona.test')!;
const to = (subscription: RosterItem['subscription']): RosterItem => ({ groups: [], subscription, ver: 1 });

type Rosters = Readonly<Record<string, Readonly<Record<string, RosterItem>>>>;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** The watchers of one node, and what they send. */
function create(
  rosters: Rosters,
  { presence = 'roster', cluster = createNodes(['one']).clusters[0]!, online = [] as readonly string[] } = {},
) {
  const clock = new FakeClock();
  const sent: Stanza[] = [];
  const work: Promise<unknown>[] = [];
  const ending = new AbortController();
  const users = Object.keys(rosters).sort();
  const privileges = { roster: 'get', 'roster-push': true, message: 'none', presence, iq: [] };
  const grant = { component, privileges, delegations: [] } as Grant;
  const host = {
    domain: 'verona.test',
    grants: new Map([[component.domain, grant]]),
    accounts: {
      list: async (after = '', limit = users.length) => users.filter((user) => user > after).slice(0, limit),
    },
  } as unknown as Host;
  const router = {
    tell: (stanza: Stanza) => void sent.push(stanza),
    sessionsOf: () =>
      online.map((full) => ({
        presence: presenceOf('available', Jid.parse(full)!, Jid.parse(full)!.withResource('')),
      })),
  } as unknown as Router;
  const roster = {
    all: (user: string) => new Map(Object.entries(rosters[user] ?? {})),
    get: (user: string, contact: string) => rosters[user]?.[contact],
  } as unknown as Roster;
  const background = (job: Promise<unknown>): void => void work.push(job);
  const parts = { host, router, roster, clock, background, signal: ending.signal, cluster: cluster as Cluster };
  const watchers = new Watchers(parts);
  ends.push(watchers.listen());
  return {
    watchers,
    clock,
    ending,
    probed: () => sent.filter(({ type }) => type === 'probe').map((stanza) => stanza.to.full),
    told: () => sent.filter((stanza) => stanza.to.full === component.full).map((stanza) => stanza.from.full),
    idle: () => Promise.all(work),
  };
}

/** As many accounts as are wanted, each with a contact of its own elsewhere. */
function crowd(count: number): Rosters {
  const names = Array.from({ length: count }, (_, i) => `user${String(i).padStart(4, '0')}`);
  return Object.fromEntries(names.map((name) => [name, { [`${name}@mantua.test`]: to('to') }]));
}

test('each contact elsewhere whose presence an account may see is asked once', async () => {
  const node = create({
    romeo: { 'a@mantua.test': to('to'), 'b@mantua.test': to('from'), 'juliet@verona.test': to('both') },
    tybalt: { 'a@mantua.test': to('both'), 'c@mantua.test': to('both'), 'd@mantua.test': to('none') },
  });
  node.watchers.catchUp(component);
  await node.idle();
  expect(node.probed()).toEqual(['a@mantua.test', 'c@mantua.test']);
});

test('who may only see people come and go asks nobody', async () => {
  const node = create(crowd(1), { presence: 'managed_entity' });
  node.watchers.catchUp(component);
  await node.idle();
  expect(node.probed()).toEqual([]);
});

test('many are asked bit by bit, over all pages of accounts', async () => {
  const node = create(crowd(450));
  node.watchers.catchUp(component);
  await turn();
  const first = node.probed().length;
  expect(first).toBeLessThan(150);
  await node.clock.advance(50);
  expect(node.probed().length).toBeGreaterThan(first);
  expect(node.probed().length).toBeLessThan(300);
  await node.clock.advance(1_000);
  await node.idle();
  expect(new Set(node.probed()).size).toBe(450);
  expect(node.probed().length).toBe(450);
});

test('accounts without contacts are looked at bit by bit, too', async () => {
  const node = create(Object.fromEntries(Object.keys(crowd(450)).map((name) => [name, {}])));
  node.watchers.catchUp(component);
  await turn();
  expect(node.clock.pending).toBe(1);
  await node.clock.advance(1_000);
  await node.idle();
});

test('a component that comes again and again is asked for once at a time', async () => {
  const node = create(crowd(450));
  for (let i = 0; i < 5; i++) {
    node.watchers.catchUp(component);
    await turn();
  }
  const before = node.probed().length;
  await node.clock.advance(1_000);
  await node.idle();
  // the last round goes on, the others do not
  expect(node.probed().length - before).toBeLessThan(450);
  expect(new Set(node.probed()).size).toBe(450);
});

test('for a component that has gone nobody is asked any more', async () => {
  const node = create(crowd(450));
  node.watchers.catchUp(component);
  await turn();
  const before = node.probed().length;
  node.watchers.gone(component);
  await node.clock.advance(1_000);
  await node.idle();
  expect(node.probed().length).toBe(before);
});

test('settings that hold no more wait for nothing', async () => {
  const node = create(crowd(450));
  node.watchers.catchUp(component);
  await turn();
  node.ending.abort();
  await node.idle();
  expect(node.clock.pending).toBe(0);
});

test('who is online is told again to a component that comes again, here and at other nodes', async () => {
  const nodes = createNodes();
  const [here, there] = nodes.clusters;
  const one = create({}, { cluster: here!, online: ['romeo@verona.test/orchard'] });
  const two = create({}, { cluster: there!, online: ['juliet@verona.test/balcony'] });
  for (let i = 1; i <= 2; i++) {
    one.watchers.catchUp(component);
    await nodes.idle();
    expect(one.told()).toEqual(Array.from({ length: i }, () => 'romeo@verona.test/orchard'));
    expect(two.told()).toEqual(Array.from({ length: i }, () => 'juliet@verona.test/balcony'));
  }
});

test('the same presence for several accounts is told once, and again when it has changed', async () => {
  const node = create({ romeo: { 'a@mantua.test': to('to') }, tybalt: { 'a@mantua.test': to('to') } });
  const from = Jid.parse('a@mantua.test/x')!;
  const say = (type: 'available' | 'unavailable', user: string) =>
    node.watchers.ofContact(
      new Transit(presenceOf(type, from, Jid.of(user, 'verona.test')), { kind: 'server', domain: from.domain }),
    );
  for (const user of ['romeo', 'tybalt', 'stranger']) await say('available', user);
  expect(node.told()).toEqual([from.full]);
  for (const user of ['romeo', 'tybalt']) await say('unavailable', user);
  expect(node.told()).toEqual([from.full, from.full]);
});
