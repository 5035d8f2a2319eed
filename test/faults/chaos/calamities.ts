// What breaks in a chaos run: which of these, when, where and for how long a seed decides.
import { pause } from '../kit.ts';
import type { Person } from './person.ts';
import type { Service, ServiceNode } from './service.ts';
import type { Kind, Trouble, Troubles } from './troubles.ts';

/** How often each is chosen. */
const WEIGHTS: Readonly<Record<Kind, number>> = {
  kill: 5,
  freeze: 3,
  stop: 4,
  'no-redis': 3,
  'no-postgres': 2,
  neither: 1,
  'redis-restart': 1,
  'redis-empty': 1,
  'postgres-restart': 1,
  'postgres-kill': 1,
  cuts: 4,
};

export interface Plan {
  readonly kinds: readonly Kind[];
  /** The longest that something stands still or is cut off, in milliseconds. */
  readonly longest: number;
  /** Between two, on average, in milliseconds. */
  readonly interval: number;
}

export class Calamities {
  /** How often each has happened. */
  readonly counts = new Map<Kind, number>();
  /** When, what and where, for the logs. */
  readonly diary: string[] = [];
  private readonly service: Service;
  private readonly people: readonly Person[];
  private readonly troubles: Troubles;
  private readonly random: () => number;
  private readonly plan: Plan;
  private readonly began = performance.now();
  private readonly pending = new Set<Promise<void>>();
  /** Of Redis and Postgres, those that something is being done to. */
  private readonly busy = new Set<object>();
  readonly failures: string[] = [];

  constructor(service: Service, people: readonly Person[], troubles: Troubles, random: () => number, plan: Plan) {
    this.service = service;
    this.people = people;
    this.troubles = troubles;
    this.random = random;
    this.plan = plan;
  }

  /** For so many milliseconds; settled when all that broke is whole again. */
  async run(duration: number): Promise<void> {
    const end = performance.now() + duration;
    for (;;) {
      const left = end - performance.now();
      await pause(Math.max(0, Math.min(left, this.plan.interval * (0.3 + 1.4 * this.random()))));
      if (performance.now() >= end) break;
      // chosen by the seed alone, whatever is possible at the moment
      const [kind, place, size] = [this.choose(), this.random(), this.random()];
      const one = this.happen(kind, place, size)
        .catch((error: unknown) => void this.failures.push(`${kind}: ${error}`))
        .finally(() => this.pending.delete(one));
      this.pending.add(one);
    }
    await Promise.all(this.pending);
  }

  private choose(): Kind {
    const chosen = this.plan.kinds;
    let at = this.random() * chosen.reduce((sum, kind) => sum + WEIGHTS[kind], 0);
    for (const kind of chosen) {
      at -= WEIGHTS[kind];
      if (at < 0) return kind;
    }
    return chosen[0]!;
  }

  private async happen(kind: Kind, place: number, size: number): Promise<void> {
    const { nodes, redis, postgres } = this.service;
    const node = nodes[Math.floor(place * nodes.length)]!;
    // short ones are more frequent
    const length = 500 + size ** 2 * this.plan.longest;
    switch (kind) {
      case 'kill':
        return this.withNode(kind, node, length / 4, async () => {
          await this.service.kill(node);
          await pause(length / 4);
          await this.service.startAgain(node);
        });
      case 'stop':
        return this.withNode(kind, node, length / 4, async () => {
          await this.service.stop(node);
          await pause(length / 4);
          await this.service.startAgain(node);
        });
      case 'freeze':
        return this.withNode(kind, node, length, async () => {
          const { pid } = node.server;
          process.kill(pid, 'SIGSTOP');
          await pause(length);
          process.kill(pid, 'SIGCONT');
        });
      case 'no-redis':
      case 'no-postgres':
      case 'neither':
        return this.withNode(kind, node, length, () => cutOff(node, kind, length, place * 1000 > 500));
      case 'redis-restart':
      case 'redis-empty':
        return this.withServer(redis, kind, length / 4, async () => {
          await redis.stop(kind === 'redis-empty' ? 'empty' : 'keep');
          await pause(length / 4);
          await redis.start();
        });
      case 'postgres-restart':
      case 'postgres-kill':
        return this.withServer(postgres, kind, length / 4, async () => {
          await postgres.stop(kind === 'postgres-kill' ? 'kill' : 'fast');
          await pause(length / 4);
          await postgres.start();
        });
      case 'cuts': {
        const some = this.people.filter((person) => (person.number * 7919 + place * 1000) % 10 < 1 + size * 4);
        this.note(kind, `of ${some.length}`, 0);
        for (const [i, person] of some.entries()) person.cut((['fin', 'reset', 'silent'] as const)[i % 3]!);
      }
    }
  }

  private async withNode(kind: Kind, node: ServiceNode, length: number, work: () => Promise<void>): Promise<void> {
    if (node.isBusy) return;
    node.isBusy = true;
    const trouble = this.begin(kind, node.name, length);
    try {
      await work();
    } finally {
      trouble.to = performance.now();
      node.isBusy = false;
    }
  }

  private async withServer(server: object, kind: Kind, length: number, work: () => Promise<void>): Promise<void> {
    if (this.busy.has(server)) return;
    this.busy.add(server);
    const trouble = this.begin(kind, undefined, length);
    try {
      await work();
    } finally {
      trouble.to = performance.now();
      this.busy.delete(server);
    }
  }

  private begin(kind: Kind, node: string | undefined, length: number): Trouble {
    this.note(kind, node ?? '', length);
    return this.troubles.begin(kind, node);
  }

  private note(kind: Kind, where: string, length: number): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const at = ((performance.now() - this.began) / 1000).toFixed(1);
    this.diary.push(`${new Date().toISOString()} ${at} s: ${kind} ${where} for ${(length / 1000).toFixed(1)} s`);
  }
}

/** Nothing gets through, or connections are refused. */
async function cutOff(
  node: ServiceNode,
  kind: 'no-redis' | 'no-postgres' | 'neither',
  length: number,
  isRefused: boolean,
): Promise<void> {
  const pipes = kind === 'neither' ? [node.redis, node.postgres] : kind === 'no-redis' ? [node.redis] : [node.postgres];
  for (const pipe of pipes) {
    if (isRefused) {
      pipe.isShut = true;
      pipe.reset();
    } else pipe.upstream = pipe.downstream = { frozen: true };
  }
  await pause(length);
  for (const pipe of pipes) {
    pipe.isShut = false;
    pipe.upstream = pipe.downstream = {};
  }
}
