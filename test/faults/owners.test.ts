// Nodes with an office each, in processes of their own, on a real Redis and a real Postgres: killed, frozen, stopped. Whatever happens, the
// numbers that are given are those that are stored, each once.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import type { Ledger } from '../kit/ticket-office.ts';

interface Said {
  readonly step: 'ready' | 'given' | 'failed' | 'asked' | 'lost' | 'expelled' | 'broken';
  readonly asker: string;
  readonly number: number;
  readonly isHere: boolean;
  readonly at: number;
}

/** A node is held for dead after half a second. */
const BEAT = 100;
let redis: TestRedis;
let postgres: TestPostgres;
let prefix = 0;
const nodes: OfficeNode[] = [];

class OfficeNode {
  readonly said: Said[] = [];
  private readonly child: ChildProcess;

  constructor(name: string, database: string) {
    const script = fileURLToPath(new URL('../kit/office-process.ts', import.meta.url));
    const args = [redis.url, database, `offices${prefix}:`, name, String(BEAT)];
    this.child = spawn(process.execPath, ['--import', 'tsx', script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.said.push({ ...(JSON.parse(line) as Said), at: performance.now() });
    });
    nodes.push(this);
  }

  get numbers(): number[] {
    return this.said.filter(({ step }) => step === 'given').map(({ number }) => number);
  }

  /** Whether it was the owner when it gave a number last. */
  get isOwner(): boolean {
    return this.said.findLast(({ step }) => step === 'given')?.isHere ?? false;
  }

  ask(asker: string, count: number): void {
    this.child.stdin!.write(`${JSON.stringify({ asker, count })}\n`);
  }

  stop(): void {
    this.child.stdin!.write(`${JSON.stringify({ stop: true })}\n`);
  }

  async heard(step: Said['step'], count = 1): Promise<void> {
    await expect
      .poll(() => this.said.filter((one) => one.step === step).length, { timeout: 15_000 })
      .toBeGreaterThanOrEqual(count);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

beforeAll(async () => {
  [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
});
afterAll(async () => {
  await redis.remove();
  await postgres.remove();
});
afterEach(async () => {
  for (const node of nodes.splice(0)) {
    node.signal('SIGCONT');
    node.signal('SIGKILL');
  }
});

interface World {
  readonly nodes: readonly OfficeNode[];
  /** What is stored. */
  ledger(): Promise<Ledger>;
  /** The last number as each write left it, in the order of writing. */
  history(): Promise<readonly number[]>;
  /** Whoever writes from now on waits for this one. */
  block(): Promise<Block>;
}
interface Block {
  /** How many wait. */
  waiting(): Promise<number>;
  release(): Promise<void>;
}

/** Writes down what becomes of the row, whoever writes. */
const audit = `
  CREATE TABLE public.history (id serial, last integer);
  CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.history (last) VALUES ((NEW.value->>'last')::integer); RETURN NEW; END $$;
  CREATE TRIGGER note AFTER INSERT OR UPDATE ON parley.office_ledgers FOR EACH ROW EXECUTE FUNCTION note();`;

async function start(names: readonly string[]): Promise<World> {
  const config = await postgres.database(`offices${++prefix}`);
  const url = postgres.url.replace('/postgres?', `/${config.database}?`);
  const all = names.map((name) => new OfficeNode(name, url));
  await Promise.all(all.map((node) => node.heard('ready')));
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(config);
    await client.connect();
    return client;
  };
  const query = async <T extends pg.QueryResultRow>(text: string): Promise<readonly T[]> => {
    const client = await connect();
    const { rows } = await client.query<T>(text);
    await client.end();
    return rows;
  };
  await query(audit);
  return {
    nodes: all,
    ledger: async () => (await query<{ value: Ledger }>('SELECT value FROM parley.office_ledgers'))[0]!.value,
    history: async () =>
      (await query<{ last: number }>('SELECT last FROM public.history ORDER BY id')).map(({ last }) => last),
    async block() {
      const client = await connect();
      await client.query('BEGIN');
      await client.query('SELECT 1 FROM parley.office_ledgers FOR UPDATE');
      return {
        async waiting() {
          await client.query('SELECT pg_stat_clear_snapshot()');
          const held = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
          return (await client.query(held)).rows.length;
        },
        async release() {
          await client.query('COMMIT');
          await client.end();
        },
      };
    },
  };
}

/** Each once, rising for each who asked; none that was not stored. */
async function check(world: World): Promise<void> {
  const all = world.nodes.flatMap((node) => node.numbers);
  expect(new Set(all).size).toBe(all.length);
  for (const { said } of world.nodes) {
    const given = said.filter(({ step }) => step === 'given');
    for (const asker of new Set(given.map((one) => one.asker))) {
      const own = given.filter((one) => one.asker === asker).map(({ number }) => number);
      expect(own).toEqual(own.toSorted((a, b) => a - b));
    }
  }
  const { last } = await world.ledger();
  expect(await world.history()).toEqual(Array.from({ length: last }, (_, i) => i + 1));
  expect(Math.max(...all)).toBe(last);
  const failed = world.nodes.flatMap(({ said }) => said.filter(({ step }) => step === 'failed'));
  // what nobody was told may have been stored: not more than what failed or was under way in a process that is no more
  expect(last - all.length).toBeLessThanOrEqual(failed.length + 1);
}

const owners = (world: World): [OfficeNode, OfficeNode] => {
  const owner = world.nodes.find(({ isOwner }) => isOwner)!;
  return [owner, world.nodes.find((node) => node !== owner)!];
};

test('an owner that stands still for longer than others wait gives out nothing and writes nothing when it goes on', async () => {
  const world = await start(['one', 'two']);
  for (const [i, node] of world.nodes.entries()) node.ask(`a${i}`, 20);
  await Promise.all(world.nodes.map((node) => node.heard('asked')));
  const [owner, other] = owners(world);

  // in the middle of a write, that the database has not carried out
  const { release, waiting } = await world.block();
  owner.ask('late', 5);
  await expect.poll(waiting).toBe(1);
  owner.signal('SIGSTOP');
  const frozenAt = performance.now();
  const before = owner.numbers.length;
  other.ask('b', 20);
  // (the write of the new owner waits, too: that of the old one is gone)
  await sleep(2500);
  expect(await waiting()).toBe(1);
  await release();
  await other.heard('asked', 2);
  const taken = (await world.ledger()).last;
  expect(taken).toBeGreaterThanOrEqual(60);

  owner.signal('SIGCONT');
  const awakeAt = performance.now();
  await owner.heard('lost');
  await owner.heard('expelled');
  await owner.heard('asked', 2);
  // what it gives out then comes from the new owner
  expect(owner.said.some(({ step, at }) => step === 'given' && at > frozenAt && at < awakeAt)).toBe(false);
  const late = owner.said.slice(before).filter(({ step, asker }) => step === 'given' && asker === 'late');
  expect(late.every(({ number }) => number > taken)).toBe(true);
  await check(world);
}, 60_000);

test('when the owner is killed another one goes on, and nothing is given twice or left out', async () => {
  const world = await start(['one', 'two', 'three']);
  for (const [i, node] of world.nodes.entries()) node.ask(`a${i}`, 10);
  await Promise.all(world.nodes.map((node) => node.heard('asked')));
  const [owner] = owners(world);
  const rest = world.nodes.filter((node) => node !== owner);
  for (const [i, node] of world.nodes.entries()) node.ask(`b${i}`, 300);
  await sleep(30);
  owner.signal('SIGKILL');
  await Promise.all(rest.map((node) => node.heard('asked', 2)));
  await check(world);
  expect(rest.filter(({ isOwner }) => isOwner)).toHaveLength(1);
}, 60_000);

test('when the owner stops in order nobody waits for long, and nobody is refused', async () => {
  const world = await start(['one', 'two']);
  for (const [i, node] of world.nodes.entries()) node.ask(`a${i}`, 10);
  await Promise.all(world.nodes.map((node) => node.heard('asked')));
  const [owner, other] = owners(world);
  other.ask('b', 300);
  await sleep(30);
  owner.stop();
  await other.heard('asked', 2);
  await check(world);
  expect(other.said.filter(({ step }) => step === 'failed')).toEqual([]);
  expect(other.isOwner).toBe(true);
  const times = other.said.filter(({ step }) => step === 'given').map(({ at }) => at);
  expect(Math.max(...times.slice(1).map((at, i) => at - times[i]!))).toBeLessThan(2000);
}, 60_000);

test('an owner that Redis forgets goes on as before, and stays the only one', async () => {
  const world = await start(['one', 'two']);
  for (const [i, node] of world.nodes.entries()) node.ask(`a${i}`, 10);
  await Promise.all(world.nodes.map((node) => node.heard('asked')));
  const [owner, other] = owners(world);
  for (const [i, node] of world.nodes.entries()) node.ask(`b${i}`, 200);
  await sleep(30);
  await redis.stop('empty');
  await redis.start();
  await Promise.all(world.nodes.map((node) => node.heard('asked', 2)));
  await check(world);
  owner.ask('c', 1);
  other.ask('d', 1);
  await Promise.all(world.nodes.map((node) => node.heard('asked', 3)));
  expect([owner.isOwner, other.isOwner]).toEqual([true, false]);
}, 60_000);
