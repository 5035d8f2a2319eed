// What it costs to ask a thing that has one owner: on its node, and from another one; to claim it, and to move it. `npx tsx
// bench/micro/owners.ts`: with the machine's own Redis, both nodes in this process.
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { createRedisCluster } from '../../src/cluster/redis/redis.ts';
import { createSolo } from '../../src/cluster/solo.ts';
import { Metrics } from '../../src/core/metrics.ts';
import type { Kind, Owned } from '../../src/core/owners/kind.ts';
import { Owners } from '../../src/core/owners/owners.ts';
import { startRedis } from '../../test/kit/redis.ts';

type Counter = Owned<string, number>;

const THINGS = 1000;
const LOCAL = 2_000_000;
const REMOTE = 40_000;
const keys = Array.from({ length: THINGS }, (_, i) => `room-${i}@chat.example.org`);

const kind: Kind<{ count: number }, string, number> = {
  thaw: (_key, _lease, handed) => ({ count: (handed as number | undefined) ?? 0 }),
  handle: (thing) => ++thing.count,
  freeze: ({ count }) => count,
};

function start(cluster: Cluster): { readonly owners: Owners; readonly counters: Counter } {
  const owners = new Owners({ cluster, clock: systemClock, log: silent, metrics: new Metrics() });
  return { owners, counters: owners.declare('chat.example.org', 'bench.counter', kind) };
}

async function wake(counters: Counter): Promise<number> {
  const start = performance.now();
  for (const key of keys) await counters.call(key, '');
  return ((performance.now() - start) * 1000) / THINGS;
}

function askHere(counters: Counter): number {
  const start = performance.now();
  for (let i = 0; i < LOCAL; i++) void counters.call(keys[i % THINGS]!, '');
  return ((performance.now() - start) * 1e6) / LOCAL;
}

/** Microseconds of CPU at both ends. */
async function askThere(counters: Counter, parallel: number): Promise<number> {
  let left = REMOTE;
  const before = process.cpuUsage();
  const caller = async (): Promise<void> => {
    while (left-- > 0) await counters.call(keys[left % THINGS] ?? keys[0]!, '');
  };
  await Promise.all(Array.from({ length: parallel }, caller));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / REMOTE;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const alone = start(createSolo());
await wake(alone.counters);
askHere(alone.counters);
say(`one process: ${askHere(alone.counters).toFixed(0)} ns a call`);

const redis = await startRedis();
const common = { target: redis.url, log: silent, clock: systemClock };
const first = await createRedisCluster({ ...common, name: 'one' });
// an empty Redis gives nothing away at first
await sleep(5_500);
const one = start(first);
say(`with Redis: ${(await wake(one.counters)).toFixed(0)} us until a thing is claimed and there, one after another`);
askHere(one.counters);
say(`on its node: ${askHere(one.counters).toFixed(0)} ns a call`);
const second = await createRedisCluster({ ...common, name: 'two' });
const two = start(second);
say(
  `from another node: ${(await askThere(two.counters, 100)).toFixed(1)} us of CPU a call, both ends together, 100 at a time`,
);
say(
  `a lease: ${Number((await redis.ask('MEMORY USAGE parley:{nodes}:leases SAMPLES 0')).slice(1)) / THINGS} bytes of Redis`,
);
const begun = performance.now();
await first.drain(true);
await one.owners.drain(60_000);
say(`moving: ${((performance.now() - begun) / THINGS).toFixed(2)} ms a thing, of ${one.owners.figures().moved}`);
for (const node of [first, second]) await node.close();
await redis.remove();
