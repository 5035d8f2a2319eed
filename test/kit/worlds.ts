// The worlds that scenes are played in. A scene must come out the same in all of them.
import type { ConfigInput } from '../../src/config/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { type Address, PATIENCE } from './client.ts';
import { FakeClock, turn } from './clock.ts';
import { createNodes } from './cluster-pair.ts';
import { federating, TestNames } from './federation.ts';
import { lateDriver } from './late-driver.ts';
import { type LogLine, mergeSettings, TestServer } from './test-server.ts';

export interface World {
  readonly name: string;
  start(settings: ConfigInput): Promise<RunningWorld>;
}

export interface RunningWorld {
  readonly clock: FakeClock;
  /** The domains that people live at, by turns; the first one is `{host}`. */
  readonly domains: readonly string[];
  /** Where the next client of a domain, of the first one unless said otherwise, is to connect: one node after another. */
  nextAddress(domain?: string): Address;
  /** Where components connect: to the last node, since the first client connects to the first one. */
  readonly componentAddress: Address;
  createAccount(jid: string, password: string): Promise<void>;
  /** Runs an administrative command: on the last node, since the first client connects to the first one; or at the server of the domain. */
  run(command: string, args: object, domain?: string): Promise<object>;
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
    const driver = lateDriver(createMemoryDriver(clock), turn);
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

/** The second domain, at a server of its own. */
const ABROAD = 'mantua.test';

export const twoServers: World = {
  name: 'two servers federated',
  async start(settings) {
    const clock = new FakeClock();
    const names = new TestNames();
    const [home = ''] = Object.keys(settings.hosts ?? {});
    const domains = [home, ABROAD];
    const drivers = domains.map(() => createMemoryDriver(clock));
    return running(
      clock,
      async () => {
        const servers: TestServer[] = [];
        for (const [i, domain] of domains.entries()) {
          // a scene's settings for its host are for the other one too
          const hosts = { [domain]: settings.hosts?.[home] ?? {} };
          const { components = {}, ...others } = settings;
          // they are the first one's
          const own = mergeSettings({ ...(i === 0 ? settings : others), hosts }, federating(domain));
          const server = await TestServer.start(own, { clock, driver: drivers[i]!, nameServer: names });
          for (const name of i === 0 ? [domain, ...Object.keys(components)] : [domain]) {
            names.set(name, { port: server.addressOf('s2s').port });
          }
          servers.push(server);
        }
        return { servers, settle: () => quiet(servers) };
      },
      domains,
    );
  },
};

const LEAST_ROUNDS = 500;

/** Resolves when all that one server has sent to the other has arrived, and was handled. */
async function quiet(servers: readonly TestServer[]): Promise<void> {
  await turn();
  const end = Date.now() + PATIENCE;
  for (let rounds = 0; ; rounds++) {
    const streams = servers.map(({ server }) => server.federation());
    const count = (of: number, what: 'sent' | 'received'): number =>
      streams[of]!.reduce((sum, stream) => sum + stream[what], 0);
    const isBusy = streams
      .flat()
      .some(({ state, waiting, handling }) => handling > 0 || (state !== 'open' && waiting > 0));
    if (!isBusy && count(0, 'sent') === count(1, 'received') && count(1, 'sent') === count(0, 'received')) break;
    // on a machine that is very busy time passes without anything being done
    if (Date.now() > end && rounds > LEAST_ROUNDS)
      throw new Error(`the servers do not come to rest: ${JSON.stringify(streams)}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await turn();
}

/** All of them, by name. */
export const worlds: readonly World[] = [oneNode, twoNodes('two nodes', false), twoServers];

/** Two nodes that learn late of each other's sessions. Scenes are not played there: what they say of order does not hold. */
export const lateNodes = twoNodes('two nodes that learn late of one another', true);

interface Nodes {
  readonly servers: readonly TestServer[];
  settle(): Promise<void>;
}

/** @param domains where each node serves one of its own; nodes that serve the same are one server otherwise */
export async function running(
  clock: FakeClock,
  start: () => Promise<Nodes>,
  domains: readonly string[] = [],
): Promise<RunningWorld> {
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
    domains,
    nextAddress: (domain) => {
      const own = domains.length === 0 ? clients++ % nodes.servers.length : Math.max(domains.indexOf(domain ?? ''), 0);
      return nodes.servers[own]!.c2s;
    },
    get componentAddress() {
      return nodes.servers[domains.length === 0 ? nodes.servers.length - 1 : 0]!.addressOf('component');
    },
    async createAccount(jid, password) {
      const own = Math.max(domains.indexOf(jid.slice(jid.indexOf('@') + 1)), 0);
      await nodes.servers[own]!.server.accounts.create(jid, password);
    },
    run(command, args, domain = '') {
      const own = domains.length === 0 ? nodes.servers.length - 1 : Math.max(domains.indexOf(domain), 0);
      return nodes.servers[own]!.server.run(command, args);
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
