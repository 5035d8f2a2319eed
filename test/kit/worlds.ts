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
  stop(): Promise<void>;
}

const oneNode: World = {
  name: 'one node',
  async start(settings) {
    const clock = new FakeClock();
    const server = await TestServer.start(settings, { clock });
    return running(clock, [server], turn);
  },
};

const twoNodes: World = {
  name: 'two nodes',
  async start(settings) {
    const clock = new FakeClock();
    const nodes = createNodes();
    const driver = createMemoryDriver(clock);
    const servers: TestServer[] = [];
    for (const cluster of nodes.clusters) servers.push(await TestServer.start(settings, { clock, cluster, driver }));
    return running(clock, servers, async () => {
      await turn();
      await nodes.idle();
      await turn();
    });
  },
};

/** All of them, by name. Federation joins them with the milestone that brings it. */
export const worlds: readonly World[] = [oneNode, twoNodes];

function running(clock: FakeClock, servers: readonly TestServer[], settle: () => Promise<void>): RunningWorld {
  let clients = 0;
  return {
    clock,
    nextAddress: () => servers[clients++ % servers.length]!.c2s,
    async createAccount(jid, password) {
      await servers[0]!.server.accounts.create(jid, password);
    },
    async settle() {
      // a stanza may cause another, on the other node: a few rounds for chains
      for (let round = 0; round < 3; round++) await settle();
    },
    get errors() {
      return servers.flatMap((server) => server.errors);
    },
    async stop() {
      for (const server of servers) await server.stop();
    },
  };
}
