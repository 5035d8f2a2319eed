// What is the same for all nodes of a cluster, and which of them were configured otherwise.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Logger, silent } from '../../../src/base/log.ts';
import { settingsPrint } from '../../../src/composition/common-settings.ts';
import { parseConfig } from '../../../src/config/load.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import { loadModules } from '../../../src/index.ts';
import { Server } from '../../../src/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { startRedis, type TestRedis } from '../../kit/redis.ts';
import { type RedisNodes, startRedisNodes } from '../../kit/redis-nodes.ts';

const config = (hosts: ConfigInput['hosts'], more: ConfigInput = {}) =>
  parseConfig({
    database: 'memory',
    tls: { required: false },
    listen: { address: ['127.0.0.1'], c2s: 0, s2s: null, http: null },
    hosts,
    ...more,
  });

const print = (...args: Parameters<typeof config>): string => settingsPrint(config(...args), 'secret');

test('hosts, their settings and components count; their order, ports, data and names of nodes do not', () => {
  const own = print({ 'a.test': {}, 'b.test': {} });
  expect(print({ 'b.test': {}, 'a.test': {} })).toBe(own);
  const machine: ConfigInput = { data: '/elsewhere', cluster: { name: 'beta' } };
  expect(print({ 'a.test': {}, 'b.test': {} }, machine)).toBe(own);
  expect(print({ 'a.test': {} })).not.toBe(own);
  expect(print({ 'a.test': { registration: 'closed' }, 'b.test': {} })).not.toBe(own);
  expect(print({ 'a.test': {}, 'b.test': {} }, { registration: 'closed' })).not.toBe(own);
  expect(settingsPrint(config({ 'a.test': {}, 'b.test': {} }), 'another')).not.toBe(own);
});

let redis: TestRedis;
let nodes: RedisNodes;
const servers: Server[] = [];

beforeEach(async () => {
  redis = await startRedis();
  nodes = await startRedisNodes(redis.url);
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
  await nodes.close();
  await redis.remove();
});

test('a host that was added on one machine only is told of, until it is there on the other one, too', async () => {
  const driver = createMemoryDriver();
  const before = config({ 'a.test': {} });
  const after = config({ 'a.test': {}, 'b.test': {} });
  for (const cluster of nodes.clusters) {
    servers.push(await Server.start(before, { modules: await loadModules(before), cluster, driver }));
  }
  const [one, two] = servers as [Server, Server];
  expect(await one.administration.differing()).toEqual([]);
  await one.reload(after);
  expect(await one.administration.differing()).toEqual(['two']);
  expect(await two.administration.differing()).toEqual(['one']);
  const members = await two.administration.members();
  expect(members.map(({ name, differs, condition }) => ({ name, differs, condition }))).toEqual([
    { name: 'one', differs: true, condition: 'serving' },
    { name: 'two', differs: false, condition: 'serving' },
  ]);
  await two.reload(after);
  expect(await one.administration.differing()).toEqual([]);
});

test('a node that is a member and no server yet is starting, and no warning', async () => {
  const warnings: string[] = [];
  const log: Logger = { ...silent, warn: (_fields, text) => void warnings.push(String(text)), child: () => log };
  const settings = config({ 'a.test': {} });
  const parts = { modules: await loadModules(settings), driver: createMemoryDriver(), log };
  servers.push(await Server.start(settings, { ...parts, cluster: nodes.clusters[0]! }));
  const [first] = servers as [Server];
  const members = await first.administration.members();
  expect(members.map(({ name, condition }) => `${name} ${condition}`)).toEqual(['one serving', 'two starting']);
  expect(await first.administration.sessions()).toEqual([]);
  expect(warnings).toEqual([]);
});

test('a node that has other settings is told of in the log: once, when it was given time to follow, and never again when it has', async () => {
  const before = config({ 'a.test': {} });
  const after = config({ 'a.test': {}, 'b.test': {} });
  const driver = createMemoryDriver();
  const said: string[] = [];
  for (const cluster of nodes.clusters) {
    const name = cluster.self.slice(0, cluster.self.indexOf(':'));
    const warn = (fields: object, text?: string): void => void said.push(`${name}: ${JSON.stringify(fields)} ${text}`);
    const log: Logger = { ...silent, warn, child: () => log };
    servers.push(await Server.start(before, { modules: await loadModules(before), cluster, driver, log }));
  }
  const [one, two] = servers as [Server, Server];
  await one.reload(after);
  expect(said).toEqual([]);
  await one.administration.configured(20);
  await expect.poll(() => said.length).toBe(1);
  expect(said[0]).toMatch(/^one: {"nodes":\["two"\]} other nodes have other hosts or components/);
  await two.reload(after);
  await one.administration.configured(20);
  await two.administration.configured(20);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(said).toHaveLength(1);
});
