// Offices on nodes that come, stop, freeze and die at random: no number is ever given twice, and none is left out.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { silent } from '../../../../src/base/log.ts';
import type { Cluster, NodeId } from '../../../../src/cluster/cluster.ts';
import { Metrics } from '../../../../src/core/metrics.ts';
import type { Owned } from '../../../../src/core/owners/kind.ts';
import { Owners } from '../../../../src/core/owners/owners.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { createNodes, type Nodes } from '../../../kit/cluster-pair.ts';
import { type Ask, type Ledger, type Ledgers, ticketOffice } from '../../../kit/ticket-office.ts';

/** mulberry32 */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Node {
  readonly cluster: Cluster;
  readonly owners: Owners;
  readonly offices: Owned<Ask, number>;
}

class World {
  readonly nodes: Nodes = createNodes([], 400);
  readonly live: Node[] = [];
  readonly wrong: string[] = [];
  readonly stored = new Map<string, Ledger>();
  private readonly fenced = new Set<NodeId>();
  private readonly random: () => number;
  private names = 0;

  constructor(random: () => number) {
    this.random = random;
  }

  add(): void {
    const cluster = this.nodes.add(`n${++this.names}`);
    cluster.leases.onFence((life) => {
      this.fenced.add(life);
    });
    const limits = { wait: 200, patience: 1500, quiet: 200, part: 16, pace: 0, settled: 50 };
    const owners = new Owners({ cluster, clock: systemClock, log: silent, metrics: new Metrics(), limits });
    const more = { idleAfter: 30, ...(this.names % 2 === 0 && { rebuild: 'eager' as const }) };
    const offices = owners.declare('h.test', 'office', ticketOffice(this.ledgers(cluster.self), more, 'a'.repeat(100)));
    this.live.push({ cluster, owners, offices });
  }

  /** What this node is to the database: as slow as it likes, and silent once it is fenced. */
  private ledgers(self: NodeId): Ledgers {
    const delay = (): Promise<void> => sleep(this.random() < 0.15 ? 60 * this.random() : 0);
    const check = (): void => {
      if (this.fenced.has(self)) throw new StorageUnavailable('fenced');
    };
    return {
      get: async (key) => {
        await delay();
        check();
        return this.stored.get(key);
      },
      set: async (key, ledger) => {
        await delay();
        check();
        const last = this.stored.get(key)?.last ?? 0;
        if (ledger.last !== last + 1) this.wrong.push(`${self} gives ${ledger.last} of ${key} after ${last}`);
        this.stored.set(key, ledger);
        await delay();
      },
    };
  }
}

async function play(seed: number, rounds: number): Promise<{ readonly given: number; readonly events: number }> {
  const random = chance(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const world = new World(random);
  for (let i = 0; i < 3; i++) world.add();
  const keys = ['a', 'b', 'c', 'd'];
  const answers = new Map<string, number[]>();
  const works: Promise<unknown>[] = [];
  let events = 0;

  // each asks one thing after another, as long as its node lives
  const asker = async (name: string, node: Node, key: string, times: number): Promise<void> => {
    const own: number[] = [];
    answers.set(`${key}/${name}`, own);
    for (let i = 0; i < times; i++) {
      try {
        own.push(await node.offices.call(key, { asker: name }));
      } catch (error) {
        if (!(error instanceof StanzaError) || error.type !== 'wait') world.wrong.push(String(error));
      }
      if (!world.live.includes(node)) return;
    }
  };
  const happenings = [
    // dies, and is not heard of again
    (node: Node) => world.nodes.kill(node.cluster.self),
    // freezes, is declared dead, and comes back
    async (node: Node) => {
      const { self } = node.cluster;
      world.nodes.doubt(self, true);
      world.nodes.freeze(self, true);
      await sleep(20);
      world.nodes.kill(self);
      await sleep(40);
      world.nodes.freeze(self, false);
      world.nodes.doubt(self, false);
    },
    // stops in good order
    async (node: Node) => {
      await node.cluster.drain(true);
      await node.owners.drain(1000);
      await node.owners.stop(1000);
      await node.cluster.close();
    },
  ];
  const enough = (): boolean => events > 5 && [...answers.values()].reduce((sum, own) => sum + own.length, 0) > 100;
  // on a busy machine less is done in a round
  for (let round = 0; round < rounds || (round < 10 * rounds && !enough()); round++) {
    for (let i = 0; i < 4; i++)
      works.push(asker(`${round}.${i}`, pick(world.live), pick(keys), 1 + Math.floor(random() * 5)));
    if (random() < 0.15) {
      const node = pick(world.live);
      world.live.splice(world.live.indexOf(node), 1);
      works.push(Promise.resolve(pick(happenings)(node)));
      events++;
    } else if (random() < 0.2) {
      // freezes for a moment, and nobody notices
      const node = pick(world.live);
      world.nodes.doubt(node.cluster.self, true);
      works.push(sleep(15).then(() => world.nodes.doubt(node.cluster.self, false)));
    }
    while (world.live.length < 2 || (world.live.length < 5 && random() < 0.2)) world.add();
    await sleep(random() * 12);
  }
  await Promise.all(works);

  expect(world.wrong).toEqual([]);
  const given = new Set<string>();
  for (const [name, numbers] of answers) {
    expect(numbers, name).toEqual(numbers.toSorted((a, b) => a - b));
    for (const number of numbers) {
      const ticket = `${name.slice(0, name.indexOf('/'))} ${number}`;
      expect(given.has(ticket), `${ticket} is given twice`).toBe(false);
      given.add(ticket);
      expect(number).toBeLessThanOrEqual(world.stored.get(name.slice(0, name.indexOf('/')))?.last ?? 0);
    }
  }
  // and all is well: whoever asks now is served, by one owner
  for (const key of keys) {
    const { last } = world.stored.get(key) ?? { last: 0 };
    expect(await pick(world.live).offices.call(key, { asker: 'last' })).toBe(last + 1);
  }
  return { given: given.size, events };
}

const seeds = process.env.OWNERS_SEED === undefined ? [1, 2, 3, 4, 5, 6] : [Number(process.env.OWNERS_SEED)];

test.each(seeds)(
  'no number is given twice or left out, whatever becomes of the nodes (seed %i)',
  async (seed) => {
    const { given, events } = await play(seed, 80);
    expect(events).toBeGreaterThan(5);
    expect(given).toBeGreaterThan(100);
  },
  60_000,
);
