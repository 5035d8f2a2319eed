// A node with an office, in a process of its own, for tests that kill or freeze it: `office-process.ts REDIS POSTGRES PREFIX NAME BEAT`. Reads
// JSON lines `{ "asker", "count" }`, asks so often one after another, and says each number as `given`; also `ready`, `lost`, `expelled`, `owned`.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import { createRedisCluster } from '../../src/cluster/redis/redis.ts';
import { writeAs } from '../../src/composition/cluster.ts';
import { Metrics } from '../../src/core/metrics.ts';
import { Owners } from '../../src/core/owners/owners.ts';
import type { KvStore } from '../../src/storage/ports.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { kv, type Spec } from '../../src/storage/specs.ts';
import { type Ledger, ticketOffice } from './ticket-office.ts';

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const key = 'verona';

async function main([target, connection, prefix, name, beat]: readonly string[]): Promise<void> {
  const common = { log: silent, clock: systemClock };
  const cluster = await createRedisCluster({
    ...common,
    target: target!,
    prefix: prefix!,
    name: name!,
    beat: Number(beat),
  });
  const driver = createPostgresDriver({ ...common, connection: connection! });
  await writeAs(cluster, driver, silent);
  const specs = { ledgers: kv() } as Readonly<Record<string, Spec<unknown>>>;
  const { ledgers } = (await driver.open('h.test', 'office', specs)) as { ledgers: KvStore<Ledger> };
  const owners = new Owners({ ...common, cluster, metrics: new Metrics() });
  const office = ticketOffice({
    get: (owner) => ledgers.get(owner),
    set: (owner, ledger) => ledgers.set(owner, ledger),
  });
  const offices = owners.declare('h.test', 'office', {
    ...office,
    drop: ({ ledger }) => say({ step: 'lost', last: ledger.last }),
  });
  cluster.onExpelled(() => say({ step: 'expelled', self: cluster.self }));
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const { asker, count, stop } = JSON.parse(line) as { asker: string; count: number; stop?: boolean };
    if (stop) {
      await cluster.drain(true);
      await owners.drain(5000);
      await owners.stop(5000);
      await cluster.close();
      await driver.close();
      process.exit();
    }
    for (let i = 0; i < count; i++) {
      try {
        say({ step: 'given', asker, number: await offices.call(key, { asker }), isHere: offices.isHere(key) });
      } catch (error) {
        say({ step: 'failed', asker, why: String(error) });
        await sleep(10);
      }
    }
    say({ step: 'asked', asker });
  });
  cluster.receive(() => {});
  say({ step: 'ready', self: cluster.self });
}

main(process.argv.slice(2)).catch((err: unknown) => {
  say({ step: 'broken', why: String(err) });
  process.exitCode = 1;
});
