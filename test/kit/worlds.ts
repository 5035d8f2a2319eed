// The worlds that scenes are played in. A scene must come out the same in all of them.
import type { ConfigInput } from '../../src/config/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Address } from './client.ts';
import { FakeClock, turn } from './clock.ts';
import { createNodes } from './cluster-pair.ts';
import { type LogLine, TestServer } from './test-server.ts';

export interface World {
  readonly name: string;
  start(settings: ConfigInput): Promise<RunningWorld>;
}

export interface RunningWorld {
  readonly clock: FakeClock;
  /** Where the next client is to connect: one node after another. */
  nextAddress(): Address;
  createAccount(jid: string, password: string): Promise<void>;
  /** Resolves when nothing is under way inside: between nodes, in timers that are due, in promises. */
  settle(): Promise<void>;
  readonly errors: readonly LogLine[];
  /** All nodes stop in good order, and start again with the same storage. */
  restart(): Promise<void>;
  /** Where the node listens now that listened there. */
  current(address: Address): Address;
  stop(): Promise<void>;
}

const oneNode: World = {
  name: 'one node',
  async start(settings) {
    const clock = new FakeClock();
    const driver = createMemoryDriver(clock);
    return running(clock, async () => ({
      servers: [await TestServer.start(settings, { clock, driver })],
      settle: turn,
    }));
  },
};

const twoNodes = (name: string, isLate: boolean): World => ({
  name,
  async start(settings) {
    const clock = new FakeClock();
    const driver = createMemoryDriver(clock);
    return running(clock, async () => {
      const nodes = createNodes(undefined, undefined, isLate);
      const servers: TestServer[] = [];
      for (const cluster of nodes.clusters) servers.push(await TestServer.start(settings, { clock, cluster, driver }));
      const settle = async (): Promise<void> => {
        await turn();
        await nodes.idle();
        await turn();
      };
      return { servers, settle };
    });
  },
});

/** All of them, by name. Federation joins them with the milestone that brings it. */
export const worlds: readonly World[] = [oneNode, twoNodes('two nodes', false)];

/** Two nodes that learn late of each other's sessions. Scenes are not played there: what they say of order does not hold. */
export const lateNodes = twoNodes('two nodes that learn late of one another', true);

interface Nodes {
  readonly servers: readonly TestServer[];
  settle(): Promise<void>;
}

async function running(clock: FakeClock, start: () => Promise<Nodes>): Promise<RunningWorld> {
  let clients = 0;
  let nodes = await start();
  const errors: LogLine[] = [];
  const places = new Map<number, number>();
  const stop = async (): Promise<void> => {
    for (const server of nodes.servers) await server.stop();
  };
  const locate = (): void => {
    for (const [i, { c2s }] of nodes.servers.entries()) places.set(c2s.port, i);
  };
  locate();
  return {
    clock,
    nextAddress: () => nodes.servers[clients++ % nodes.servers.length]!.c2s,
    async createAccount(jid, password) {
      await nodes.servers[0]!.server.accounts.create(jid, password);
    },
    async settle() {
      // a stanza may cause another, on the other node: a few rounds for chains
      for (let round = 0; round < 3; round++) await nodes.settle();
    },
    get errors() {
      return [...errors, ...nodes.servers.flatMap((server) => server.errors)];
    },
    async restart() {
      await stop();
      errors.push(...nodes.servers.flatMap((server) => server.errors));
      nodes = await start();
      locate();
    },
    current: ({ port }) => nodes.servers[places.get(port)!]!.c2s,
    stop,
  };
}
