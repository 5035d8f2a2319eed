// What a login costs the directory over Redis: CPU of the node that people log in to, of another node that hears of it, and of Redis, in
// microseconds, less what they need with nobody coming, and less what this program needs for itself. `npx tsx bench/micro/directory.ts`: with the machine's own Redis.
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import type { SessionEntry } from '../../src/cluster/cluster.ts';
import { createRedisCluster, type RedisCluster } from '../../src/cluster/redis/redis.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { startRedis } from '../../test/kit/redis.ts';
import { usageOf } from '../load/proc.ts';

const SECONDS = 4;
/** Logins under way at a time. */
const loads = [1, 5, 20, 50, 300] as const;
/** Until all code that matters is compiled, in rounds: a server that has just started needs half as much again. */
const ROUNDS = 3;
const MANY = 300;
/** A client takes so long for each of its steps, in milliseconds: as in a login whose cryptography keeps a core busy. */
const STEP = 10;

const micros = ({ user, system }: NodeJS.CpuUsage): number => user + system;

async function listen(url: string): Promise<void> {
  const cluster = await createRedisCluster({ target: url, name: 'other', log: silent, clock: systemClock });
  cluster.receive(() => {});
  let start = process.cpuUsage();
  process.on('message', () => {
    process.send!(micros(process.cpuUsage(start)));
    start = process.cpuUsage();
  });
  process.send!(cluster.self);
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send({});
  const [figure] = (await once(child, 'message')) as [number];
  return figure;
}

/** Bound, available, gone; or no more than what this program does about it. */
async function logIn({ self, directory }: RedisCluster, user: number, isReal: boolean): Promise<void> {
  const entry: SessionEntry = {
    jid: Jid.parse(`user${user}@chat.example.org/${randomUUID()}`)!,
    node: self,
    sid: `${randomUUID()}.${self}`,
    available: false,
    priority: 0,
    shared: {},
  };
  if (isReal) await directory.put(entry);
  await sleep(Math.random() * 2 * STEP);
  const available = { ...entry, available: true };
  if (isReal) await directory.put(available);
  await sleep(Math.random() * 2 * STEP);
  if (isReal) await directory.drop(entry.jid, entry.sid);
  await sleep(Math.random() * 2 * STEP);
}

async function measure(): Promise<void> {
  const redis = await startRedis();
  const cluster = await createRedisCluster({ target: redis.url, name: 'own', log: silent, clock: systemClock });
  cluster.receive(() => {});
  const child = fork(fileURLToPath(import.meta.url), [redis.url]);
  await once(child, 'message');
  await sleep(2_000);
  const storeCpu = (): number => usageOf([redis.pid], false).database!.cpu;
  const spend = async (slots: number, isReal = true): Promise<readonly number[]> => {
    await cpuOf(child);
    const [own, store] = [process.cpuUsage(), storeCpu()];
    const end = performance.now() + SECONDS * 1000;
    let count = 0;
    const slot = async (i: number): Promise<void> => {
      for (let n = 0; performance.now() < end; n++, count++) await logIn(cluster, i + MANY * (n % 20), isReal);
    };
    await Promise.all([sleep(SECONDS * 1000), ...Array.from({ length: slots }, (_, i) => slot(i))]);
    return [count, micros(process.cpuUsage(own)), await cpuOf(child), 1e6 * (storeCpu() - store)];
  };
  for (let round = 0; round < ROUNDS; round++) await spend(MANY);
  const [, ...idle] = await spend(0);
  console.log('under way  logins/s  own node  other node  Redis  sum');
  for (const slots of loads) {
    const [blank = 0, spentOnIt = 0] = await spend(slots, false);
    const forItself = (spentOnIt - (idle[0] ?? 0)) / blank;
    const [count = 0, ...spent] = await spend(slots);
    const each = spent.map((used, i) => (used - (idle[i] ?? 0)) / count);
    const [own, other, store] = [Math.round(each[0]! - forItself), Math.round(each[1]!), Math.round(each[2]!)];
    const figures = [slots, Math.round(count / SECONDS), own, other, store, own + other + store];
    console.log(figures.map((figure, i) => String(figure).padStart([9, 10, 10, 12, 7, 5][i]!)).join(''));
  }
  child.kill();
  await cluster.close();
  await redis.remove();
}

const [url] = process.argv.slice(2);
await (url === undefined ? measure() : listen(url));
