// Two nodes that a real Redis joins. Between them changes of sessions are heard late; scenes are about what follows, so here whoever
// makes a change goes on when all have heard of it.
import { isPromise } from '../../src/base/maybe.ts';
import type { RedisCluster } from '../../src/cluster/redis/redis.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { FakeClock, turn } from './clock.ts';
import { startRedisNodes } from './redis-nodes.ts';
import { TestServer } from './test-server.ts';
import { running, type World } from './worlds.ts';

/** Between signs of life, in milliseconds: busy machines must not make a node count as dead. */
const BEAT = 250;
/** What one node asks another takes longer the more scenes are played, in milliseconds. */
const CALL_TIMEOUT = 5000;

/** @param url of a Redis that others may use, too */
export const nodesOnRedis = (url: string): World => ({
  name: 'two nodes on Redis',
  async start(settings) {
    const clock = new FakeClock();
    const driver = createMemoryDriver(clock);
    return running(clock, async () => {
      const nodes = await startRedisNodes(url, undefined, { beat: BEAT, callTimeout: CALL_TIMEOUT });
      const heard = await createMarks(nodes.clusters);
      for (const cluster of nodes.clusters) cluster.answer(fence, () => null);
      const servers: TestServer[] = [];
      const asked = new Asked(nodes.clusters);
      for (const cluster of nodes.clusters) {
        waitForAll(cluster, heard);
        servers.push(await TestServer.start(settings, { clock, cluster, driver }));
      }
      const settle = async (): Promise<void> => {
        await turn();
        await passed(nodes.clusters);
        await heard();
        await turn();
        // what is answered late (a thing may have to be claimed first) has consequences yet
        if (!(await asked.answered())) await settle();
      };
      return { servers, settle };
    });
  },
});

/** Resolves when all nodes have heard what was published before. */
async function createMarks(clusters: readonly RedisCluster[]): Promise<() => Promise<void>> {
  let last = 0;
  const waiting = new Map<string, { left: number; resolve(): void }>();
  const arrive = (mark: string): void => {
    const one = waiting.get(mark);
    if (one === undefined || --one.left > 0) return;
    waiting.delete(mark);
    one.resolve();
  };
  for (const { redis } of clusters) await redis.subscribe('marks', arrive);
  return () =>
    new Promise((resolve, reject) => {
      const mark = `${++last}`;
      waiting.set(mark, { left: clusters.length, resolve });
      clusters[0]!.redis.publish('marks', mark).catch(reject);
    });
}

/** What nodes ask one another, and Redis, as long as there is no answer. */
class Asked {
  private readonly waiting = new Set<Promise<unknown>>();

  constructor(clusters: readonly RedisCluster[]) {
    for (const cluster of clusters) {
      const { leases } = cluster;
      const [call, claim, take] = [cluster.call.bind(cluster), leases.claim.bind(leases), leases.take.bind(leases)];
      cluster.call = (node, method, body) =>
        method === fence ? call(node, method, body) : this.wait(call(node, method, body));
      leases.claim = (key) => this.wait(claim(key));
      leases.take = (key, from, token) => this.wait(take(key, from, token));
    }
  }

  /** Resolves when all that is asked now is answered; to whether nothing was. */
  async answered(): Promise<boolean> {
    if (this.waiting.size === 0) return true;
    await Promise.allSettled([...this.waiting]);
    return false;
  }

  private wait<T>(answer: T): T {
    if (!isPromise(answer)) return answer;
    const done = answer.then(closed, closed).then(() => void this.waiting.delete(done));
    this.waiting.add(done);
    return answer;
  }
}

/** Resolves when every node has been given what the others had sent it before: what nodes send one another keeps its order. */
async function passed(clusters: readonly RedisCluster[]): Promise<void> {
  const calls = clusters.flatMap((one) =>
    clusters.flatMap(({ self }) => (self === one.self ? [] : [one.call(self, fence, null).catch(closed)])),
  );
  await Promise.all(calls);
}

const fence = 'test.fence';

/** While the nodes stop, one after the other, some hear nothing any more. */
const closed = (): void => {};

function waitForAll({ directory }: RedisCluster, heard: () => Promise<void>): void {
  const [put, drop] = [directory.put.bind(directory), directory.drop.bind(directory)];
  directory.put = async (entry) => {
    const other = await put(entry);
    await heard().catch(closed);
    return other;
  };
  directory.drop = async (jid, sid) => {
    await drop(jid, sid);
    await heard().catch(closed);
  };
}
