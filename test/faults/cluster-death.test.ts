// What may happen to a node, to Redis and to Postgres, one at a time, while people talk on two nodes: what they see of it, for how long,
// and that nothing is lost. The table in docs/cluster.md says the same.
import type { Element } from 'ltx';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../kit/child-server.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { Agreement } from './chaos/agreement.ts';
import { Books } from './chaos/books.ts';
import { type Fortunes, noFortunes } from './chaos/fortunes.ts';
import { Person } from './chaos/person.ts';
import { gather } from './chaos/run.ts';
import { domain, Service, type ServiceNode } from './chaos/service.ts';
import { Troubles } from './chaos/troubles.ts';
import { seeded } from './durability/verdict.ts';
import { pause } from './kit.ts';

const SM = 'urn:xmpp:sm:3';
const CLIENTS = 10;
/** How long people wait on average until they say the next thing, in milliseconds. */
const PACE = 200;
/** A silent node is dead after five to six seconds; the rest is for a slow machine. */
const DEATH = 9_000;
/** Longer than a node may be silent. */
const OUTAGE = 8_000;
const PATIENCE = 60_000;
/** Between two questions to a node. */
const POLL = 100;

let service: Service;
let people: readonly Person[];
let books: Books;
let fortunes: Fortunes;
let troubles: Troubles;

async function open(ahead = 0): Promise<readonly [ServiceNode, ServiceNode]> {
  service = await Service.start(2, CLIENTS, { ahead });
  troubles = new Troubles();
  books = new Books(troubles);
  fortunes = noFortunes();
  const person = (_: unknown, i: number): Person => new Person(i + 1, service, books, fortunes, seeded(i + 1));
  people = Array.from({ length: CLIENTS }, person);
  await gather(people, PACE);
  for (const one of people) one.isTalking = true;
  await pause(2_000);
  const [first, second] = service.nodes;
  return [first!, second!];
}

beforeEach(() => {
  people = [];
});
afterEach(async () => {
  await service?.dispose();
});

/** Whose sessions are on a node, as another one lists them. */
async function sessionsOn(node: ServiceNode, by: ServiceNode): Promise<string[]> {
  return (await service.sessions(by)).filter((line) => line.node === node.name).map(({ jid }) => jid);
}

/** A node that was given up is a member again: in about two seconds, where the machine is not slow. */
async function expectBack(): Promise<void> {
  const began = performance.now();
  expect(await until(PATIENCE, async () => (await service.ailment()) === undefined, POLL)).toBe(true);
  expect(performance.now() - began).toBeLessThan(DEATH);
}

/** In the end everybody is served, and everything is as it was said. */
async function expectWhole(): Promise<void> {
  expect(await until(PATIENCE, async () => (await service.ailment()) === undefined, POLL)).toBe(true);
  for (const person of people) person.isTalking = false;
  expect(await until(PATIENCE, () => people.every((person) => person.isSettled))).toBe(true);
  for (let before = -1; before !== books.heard; await pause(500)) before = books.heard;
  for (const person of people) await person.readAll();
  const agreement = new Agreement(service, people);
  await agreement.reach();
  expect(agreement.found).toEqual({ ghosts: 0, missing: 0, presence: 0, rosters: 0, examples: [] });
  const { account, examples } = books.close();
  expect(examples, service.nodes.map(({ server }) => server.output.slice(-1_000)).join('\n')).toEqual([]);
  expect(account.acknowledged).toBeGreaterThan(50);
  expect(service.failures).toEqual([]);
  await Promise.all(people.map((person) => person.leave()));
}

/** How long it takes until the sessions that a node had are no more, in milliseconds. */
async function ghostsLast(node: ServiceNode, by: ServiceNode, had: readonly string[]): Promise<number> {
  const began = performance.now();
  const isGone = async (): Promise<boolean> => {
    const left = await sessionsOn(node, by);
    return !had.some((jid) => left.includes(jid));
  };
  await until(PATIENCE, isGone, POLL);
  return performance.now() - began;
}

/** All that has come, and comes until there is silence for `ms` milliseconds. */
async function readAll(client: StreamClient, ms: number): Promise<Element[]> {
  const all: Element[] = [];
  for (;;) {
    const item = await client.next(ms);
    if (item === undefined || item.kind === 'end') return all;
    if (item.kind === 'element') all.push(item.element);
  }
}

/** What messages say, and whether they come late. */
const said = (elements: readonly Element[]): string[] =>
  elements
    .filter((element) => element.is('message') && element.getChild('body') !== undefined)
    .map((message) => `${message.getChildText('body')}${message.getChild('delay') === undefined ? '' : ' late'}`);

test('kill -9 of a node: its people log in elsewhere at once, and its sessions are gone in seconds', async () => {
  const [node, other] = await open();
  const had = await sessionsOn(node, other);
  expect(had.length).toBeGreaterThan(0);
  const trouble = troubles.begin('kill', node.name);
  await service.kill(node);
  expect(await ghostsLast(node, other, had)).toBeLessThan(DEATH);
  expect(await until(5_000, () => people.every((person) => person.isConnected))).toBe(true);
  expect(fortunes.begun).toBeGreaterThanOrEqual(CLIENTS + had.length);
  await service.startAgain(node);
  trouble.to = performance.now();
  await expectWhole();
}, 180_000);

test('SIGSTOP for longer than a node may be silent, and back: others go on without it, and it joins again', async () => {
  const [node, other] = await open();
  const had = await sessionsOn(node, other);
  const trouble = troubles.begin('freeze', node.name);
  process.kill(node.server.pid, 'SIGSTOP');
  const lasted = await ghostsLast(node, other, had);
  expect(lasted).toBeLessThan(DEATH);
  await pause(Math.max(0, OUTAGE - lasted));
  process.kill(node.server.pid, 'SIGCONT');
  trouble.to = performance.now();
  await expectBack();
  await expectWhole();
}, 180_000);

test('SIGSTOP while a client goes on writing: what the node finds when it wakes up it leaves to the client', async () => {
  service = await Service.start(2, 2);
  const [node, other] = service.nodes as [ServiceNode, ServiceNode];
  const enter = async (at: ServiceNode, user: string, resource: string): Promise<StreamClient> => {
    const { client } = await logIn(at.server.address('c2s'), { user, password: 'chaos', domain, resource });
    client.write('<presence/>');
    return client;
  };
  const writer = await enter(node, 'user1', 'writer');
  writer.write(`<enable xmlns='${SM}'/>`);
  // one that never acknowledges anything: all of it comes back when its session ends
  const ghost = await enter(node, 'user2', 'ghost');
  ghost.write(`<enable xmlns='${SM}'/>`);
  const reader = await enter(other, 'user2', 'reader');
  await pause(1_000);
  let written = 0;
  const writing = setInterval(() => {
    const body = `<body>${++written}</body>`;
    writer.writeQuietly(`<message to='user2@${domain}' type='chat'>${body}</message><r xmlns='${SM}'/>`);
  }, 10);
  try {
    await pause(1_500);
    process.kill(node.server.pid, 'SIGSTOP');
    await pause(OUTAGE);
    process.kill(node.server.pid, 'SIGCONT');
    // also while the node finds out, and begins its next life
    expect(await writer.closed(DEATH)).toBe(true);
  } finally {
    clearInterval(writing);
  }
  await expectBack();
  const heard = await readAll(writer, 500);
  expect(heard.at(-1)?.toString()).toContain('<reset');
  const acknowledged = Math.max(...heard.filter((one) => one.is('a')).map(({ attrs }) => Number(attrs.h)));
  expect(acknowledged).toBeGreaterThan(20);
  expect(written).toBeGreaterThan(acknowledged + 300);

  // all of it, each once and in order; and not what the node had not read, but for what was in its hands when it stood still
  const came = said(await readAll(reader, 1_000));
  expect(came).toEqual(Array.from({ length: came.length }, (_, i) => String(i + 1)));
  expect(came.length).toBeGreaterThanOrEqual(acknowledged);
  expect(came.length).toBeLessThan(acknowledged + 50);
  // and nothing of it was stored for those who are away
  reader.write('</stream:stream>');
  expect(await reader.closed()).toBe(true);
  const later = await enter(other, 'user2', 'later');
  expect(said(await readAll(later, 1_500))).toEqual([]);
  for (const client of [writer, ghost, reader, later]) await client.destroy();
}, 120_000);

test('Redis is cut off from one node: its people are told to come back, and the node joins again', async () => {
  const [node, other] = await open();
  const had = await sessionsOn(node, other);
  const trouble = troubles.begin('no-redis', node.name);
  node.redis.upstream = node.redis.downstream = { frozen: true };
  const lasted = await ghostsLast(node, other, had);
  expect(lasted).toBeLessThan(DEATH);
  // streams stay until the node knows, and people on it go on talking
  const sent = books.sent;
  await pause(Math.max(2_000, OUTAGE - lasted));
  expect(books.sent).toBeGreaterThan(sent);
  node.redis.upstream = node.redis.downstream = {};
  trouble.to = performance.now();
  await expectBack();
  await expectWhole();
}, 180_000);

test('Redis is killed and comes back empty: nobody loses the connection', async () => {
  await open();
  const { begun } = fortunes;
  const trouble = troubles.begin('redis-empty');
  await service.redis.stop('empty');
  await pause(3_000);
  await service.redis.start();
  trouble.to = performance.now();
  await expectWhole();
  expect(fortunes.begun).toBe(begun);
  expect(fortunes.setbacks.size).toBe(0);
}, 180_000);

test('Redis is killed and a node with it, and Redis comes back empty: the people of that node are seen to go', async () => {
  const [node] = await open();
  const trouble = troubles.begin('redis-empty');
  const death = troubles.begin('kill', node.name);
  await service.redis.stop('empty');
  await service.kill(node);
  await service.redis.start();
  // nobody of them is in the directory; that nobody shows them any more is looked at in the end
  await pause(DEATH);
  await service.startAgain(node);
  trouble.to = death.to = performance.now();
  await expectWhole();
}, 180_000);

test('Postgres is restarted: nobody loses the connection, and acknowledgements wait for it', async () => {
  await open();
  const { begun } = fortunes;
  const trouble = troubles.begin('postgres-restart');
  await service.postgres.stop('fast');
  const open1 = books.open;
  await pause(3_000);
  expect(books.open).toBeGreaterThan(open1);
  await service.postgres.start();
  trouble.to = performance.now();
  await expectWhole();
  expect(fortunes.begun).toBe(begun);
}, 180_000);

test('clocks a minute apart: nobody notices, and a node that dies is missed in the same time', async () => {
  const [node, other] = await open(60_000);
  const had = await sessionsOn(node, other);
  await pause(3_000);
  const trouble = troubles.begin('kill', node.name);
  await service.kill(node);
  expect(await ghostsLast(node, other, had)).toBeLessThan(DEATH);
  await service.startAgain(node);
  trouble.to = performance.now();
  await expectWhole();
}, 180_000);
