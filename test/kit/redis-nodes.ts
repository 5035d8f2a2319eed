// Nodes that one Redis joins, in one process; each as it is in a process of its own.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import type { NodeId } from '../../src/cluster/cluster.ts';
import type { RedisClusterOptions } from '../../src/cluster/redis/options.ts';
import { createRedisCluster, type RedisCluster } from '../../src/cluster/redis/redis.ts';

export interface RedisNodes {
  /** What all keys start with. */
  readonly prefix: string;
  readonly clusters: readonly RedisCluster[];
  /** Another node. */
  add(name: string, more?: Partial<RedisClusterOptions>): Promise<RedisCluster>;
  /** Resolves when everything that was sent has been handled, and all live nodes know one another. */
  idle(): Promise<void>;
  /** The node dies without a word. */
  kill(node: NodeId): void;
  close(): Promise<void>;
}

/** Signs of life follow one another so quickly that a death is seen soon, in milliseconds. */
const BEAT = 60;
let lastPrefix = 0;

/** Starts nodes of these names; they share nothing with others at the same Redis. */
export async function startRedisNodes(
  target: RedisClusterOptions['target'],
  names: readonly string[] = ['one', 'two'],
  common: Partial<RedisClusterOptions> = {},
): Promise<RedisNodes> {
  const prefix = `test${process.pid}-${++lastPrefix}:`;
  let clusters: RedisCluster[] = [];
  const dead = new Set<NodeId>();
  const add = async (name: string, more: Partial<RedisClusterOptions> = {}): Promise<RedisCluster> => {
    const options = { target, name, prefix, log: silent, clock: systemClock, beat: BEAT, callTimeout: 500, ...common };
    const cluster = await createRedisCluster({ ...options, ...more });
    clusters = [...clusters, cluster];
    return cluster;
  };
  const agree = (): boolean => {
    const live = clusters.filter(({ self }) => !dead.has(self)).map(({ self }) => self);
    return clusters.every(
      ({ self, nodes }) => dead.has(self) || (nodes.size === live.length && live.every((node) => nodes.has(node))),
    );
  };
  const nodes: RedisNodes = {
    prefix,
    get clusters() {
      return clusters;
    },
    add,
    async idle() {
      const deadline = Date.now() + 10_000;
      const isBusy = (): boolean => clusters.some(({ self, backlog }) => !dead.has(self) && backlog > 0);
      while (isBusy() || !agree()) {
        if (Date.now() > deadline) throw new Error('the nodes do not come to rest');
        await sleep(10);
      }
    },
    kill(node) {
      dead.add(node);
      clusters.find(({ self }) => self === node)?.abandon();
    },
    async close() {
      for (const cluster of clusters) await cluster.close();
    },
  };
  for (const name of names) await add(name);
  await nodes.idle();
  return nodes;
}

export interface NodeProcess {
  /** In the life that it is in. */
  readonly self: NodeId;
  /** The numbers of the frames that it was given. */
  readonly heard: number[];
  /** While true it does nothing. */
  freeze(on: boolean): void;
  kill(): void;
}

/** Starts a node in a process of its own (`cluster-process.ts`). */
export async function startNodeProcess(url: string, prefix: string, name: string): Promise<NodeProcess> {
  const script = fileURLToPath(new URL('./cluster-process.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, url, prefix, name, String(BEAT)], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let self: NodeId | undefined;
  const heard: number[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the node does not start')));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as { readonly step: string; readonly self: NodeId; readonly xml: string };
      if (said.step === 'ready' || said.step === 'expelled') self = said.self;
      if (said.step === 'ready') resolve();
      if (said.step === 'heard') heard.push(Number(/id='(\d+)'/.exec(said.xml)?.[1]));
    });
  });
  return {
    get self() {
      return self!;
    },
    heard,
    freeze: (on) => void child.kill(on ? 'SIGSTOP' : 'SIGCONT'),
    kill: () => void child.kill('SIGKILL'),
  };
}
