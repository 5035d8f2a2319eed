// What keeps several processes from starting is told once, in a sentence, and nothing is left running.
import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/server.ts';
import { ChildServer } from '../kit/child-server.ts';
import { freePort } from '../kit/peers.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function running(): Promise<TestRedis> {
  const redis = await startRedis();
  cleanups.push(() => redis.remove());
  return redis;
}

/** What it says when it does not start. */
async function failing(redis: string, more: ConfigInput = {}): Promise<string> {
  try {
    const server = await ChildServer.start({
      hosts: { localhost: {} },
      redis,
      cluster: { processes: 2, name: 'alpha' },
      ...more,
    });
    cleanups.push(() => server[Symbol.asyncDispose]());
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it started');
}

/** What was said for people, and not for the log. */
const lines = (output: string): string[] => output.split('\n').filter((line) => line.startsWith('parley:'));

test('no Redis', async () => {
  const output = await failing(`redis://127.0.0.1:${await freePort()}`);
  expect(lines(output)).toHaveLength(1);
  expect(lines(output)[0]).toMatch(
    /^parley: the cluster cannot be joined: Redis cannot be reached \(.*ECONNREFUSED.*\)/,
  );
}, 60_000);

test('a password that is wrong, at once', async () => {
  const redis = await running();
  await redis.ask('CONFIG SET requirepass right');
  const start = Date.now();
  const output = await failing(`redis://:wrong@127.0.0.1:${redis.port}`);
  expect(lines(output)).toHaveLength(1);
  expect(lines(output)[0]).toContain('WRONGPASS');
  expect(output).not.toContain(':wrong@');
  expect(Date.now() - start).toBeLessThan(30_000);
}, 60_000);

test('a port that is taken', async () => {
  const redis = await running();
  const holder = createServer();
  const port = await new Promise<number>((done) => {
    holder.listen(0, '127.0.0.1', () => done((holder.address() as { port: number }).port));
  });
  cleanups.push(() => new Promise((done) => holder.close(done)));
  const output = await failing(redis.url, {
    listen: { address: ['127.0.0.1'], c2s: port, 'c2s-tls': null, s2s: null, 's2s-tls': null, http: null, https: null },
  });
  expect(lines(output)).toHaveLength(1);
  expect(lines(output)[0]).toContain(
    `cannot listen on 127.0.0.1 port ${port} (clients): something else listens there already`,
  );
}, 60_000);

test('a node whose database is another one', async () => {
  const redis = await running();
  const first = await ChildServer.start({ hosts: { localhost: {} }, redis: redis.url, cluster: { name: 'alpha' } });
  cleanups.push(() => first[Symbol.asyncDispose]());
  const output = await failing(redis.url, { cluster: { name: 'beta' } });
  expect(lines(output)).toHaveLength(1);
  expect(lines(output)[0]).toContain('has another database: all nodes of a cluster share one');
}, 120_000);
