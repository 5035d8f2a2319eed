// The service that a chaos run breaks: nodes as processes of their own, the Redis and the Postgres that they share, and between each node
// and these two a proxy that can cut it off.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Target } from '../../../bench/load/client.ts';
import { type ChaosPipe, openChaosPipe } from '../../kit/chaos.ts';
import { ChildServer, isAlive } from '../../kit/child-server.ts';
import { freePort } from '../../kit/peers.ts';
import { startPostgres, type TestPostgres } from '../../kit/postgres.ts';
import { startRedis, type TestRedis } from '../../kit/redis.ts';
import { type Roster, rosterAt } from './roster.ts';

export const domain = 'localhost';
export const roomAddress = (room: number): string => `room${room}@groups.${domain}`;
const password = 'chaos';
const userPrefix = 'user';

/** How long a session waits for its client here, in seconds: shorter than usual, so that ghosts would be seen in the time of a run. */
export const RESUME = 60;
/** How long a node that is told to stop may take, in milliseconds, and one that starts while much else is broken. */
const STOP = 90_000;
const START = 120_000;

export interface ServiceNode {
  readonly name: string;
  readonly server: ChildServer;
  readonly redis: ChaosPipe;
  readonly postgres: ChaosPipe;
  /** Something is being done to it. */
  isBusy: boolean;
  /** It does not run, and is not to. */
  isDown: boolean;
}

export interface SessionLine {
  readonly jid: string;
  readonly node: string;
  readonly hibernating: boolean;
}

export class Service {
  readonly redis: TestRedis;
  readonly postgres: TestPostgres;
  readonly nodes: ServiceNode[] = [];
  /** What nobody has done to it: processes that ended by themselves, or did not start or stop. */
  readonly failures: string[] = [];
  private readonly port: number;

  private constructor(redis: TestRedis, postgres: TestPostgres, port: number) {
    this.redis = redis;
    this.postgres = postgres;
    this.port = port;
  }

  /**
   * Starts it all, with accounts `user1` to `userN`, and rooms.
   * @param ahead how much each node's clock is ahead of that of the one before it, in milliseconds
   */
  static async start(nodes: number, users: number, { rooms = 0, ahead = 0 } = {}): Promise<Service> {
    const port = await freePort();
    const service = new Service(await startRedis(), await startPostgres({ port }), port);
    try {
      for (let i = 0; i < nodes; i++) await service.add(`node${i + 1}`, i * ahead);
      const lines = Array.from({ length: users }, (_, i) => `${userPrefix}${i + 1}@${domain} ${password}\n`).join('');
      const { code, stderr } = await service.nodes[0]!.server.cli(['user', 'add', '--batch', '-'], lines);
      if (code !== 0) throw new Error(`accounts could not be made: ${stderr}`);
      for (let room = 1; room <= rooms; room++) await service.makeRoom(room);
      return service;
    } catch (error) {
      await service.dispose();
      throw error;
    }
  }

  target(node: ServiceNode): Target {
    const { port } = node.server.address('c2s');
    return {
      host: '127.0.0.1',
      port,
      domain,
      tls: 'none',
      transport: 'tcp',
      sasl: 'scram',
      userPrefix,
      password,
      sources: 1,
    };
  }

  kill(node: ServiceNode): Promise<unknown> {
    node.isDown = true;
    return node.server.stop('SIGKILL');
  }

  /** In good order. */
  async stop(node: ServiceNode): Promise<void> {
    node.isDown = true;
    try {
      const { code, signal } = await node.server.stop('SIGTERM', STOP);
      if (code !== 0) this.failures.push(`${node.name} ended with ${code ?? signal} when it was told to stop`);
    } catch {
      this.failures.push(`${node.name} did not stop in ${STOP / 1000} s`);
      await this.kill(node);
    }
  }

  /** Starts it again, as whoever looks after processes does: until it runs. */
  async startAgain(node: ServiceNode): Promise<void> {
    for (const deadline = Date.now() + START; ; ) {
      try {
        await node.server.start();
        node.isDown = false;
        return;
      } catch (error) {
        if (node.server.isRunning) await node.server.stop('SIGKILL');
        if (Date.now() > deadline) throw new Error(`${node.name} does not start again: ${error}`);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }

  /** A node that has ended by itself is noted, and started again. */
  async lookAfter(): Promise<void> {
    for (const node of this.nodes) {
      if (node.isDown || isAlive(node.server.pid)) continue;
      node.isDown = true;
      this.failures.push(`${node.name} ended by itself: ${node.server.output.slice(-1_000)}`);
      await this.startAgain(node);
    }
  }

  async sessions(node: ServiceNode): Promise<readonly SessionLine[]> {
    return (await node.server.ask<{ readonly sessions: readonly SessionLine[] }>('session ls')).sessions;
  }

  async listedBy(node: ServiceNode): Promise<ReadonlySet<string>> {
    return new Set((await this.sessions(node)).map(({ jid }) => jid));
  }

  /** The full JIDs in the directory, as they stand in Redis. */
  async listedInRedis(): Promise<ReadonlySet<string>> {
    const redis = new Redis(this.redis.url);
    const found = new Set<string>();
    try {
      for (let cursor = '0'; ; ) {
        const [next, keys] = await redis.scan(cursor, 'MATCH', 'parley:*:u:*', 'COUNT', 1000);
        for (const key of keys) {
          const user = key.slice(key.indexOf(':u:') + 3);
          for (const resource of await redis.hkeys(key)) found.add(`${user}/${resource}`);
        }
        cursor = next;
        if (cursor === '0') return found;
      }
    } finally {
      redis.disconnect();
    }
  }

  rosterAt(node: ServiceNode, number: number): Promise<Roster> {
    // (the machine may be too busy to answer in time)
    return rosterAt(this.target(node), number).catch(() => rosterAt(this.target(node), number));
  }

  /** Why it is not whole; undefined when every node sees all of them, and Redis. */
  async ailment(): Promise<string | undefined> {
    for (const { name, server } of this.nodes) {
      try {
        const told = await server.ask<{ readonly ok: boolean; readonly nodes: readonly unknown[] }>('cluster status');
        if (!told.ok || told.nodes.length !== this.nodes.length) {
          return `${name} sees ${told.nodes.length} nodes: ${JSON.stringify(told)}`;
        }
      } catch (error) {
        return `${name} does not tell of the cluster: ${error}`;
      }
    }
    return undefined;
  }

  /** Writes down what every node has said, and what else there is to be said. */
  keepLogs(folder: string, lines: readonly string[]): void {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'run.log'), lines.join('\n'));
    for (const { name, server } of this.nodes) writeFileSync(join(folder, `${name}.log`), server.output);
  }

  async dispose(): Promise<void> {
    for (const { server, redis, postgres } of this.nodes) {
      // one that stands still hears no other signal
      if (server.isRunning) {
        process.kill(server.pid, 'SIGCONT');
        await server.stop('SIGKILL');
      }
      await server[Symbol.asyncDispose]();
      await redis.close();
      await postgres.close();
    }
    await this.redis.remove();
    await this.postgres.remove();
  }

  private async makeRoom(room: number): Promise<void> {
    const owner = `${userPrefix}1@${domain}`;
    const { code, stderr } = await this.nodes[0]!.server.cli(['room', 'create', roomAddress(room), '--owner', owner]);
    if (code !== 0) throw new Error(`room ${room} could not be made: ${stderr}`);
  }

  private async add(name: string, ahead: number): Promise<void> {
    const redis = await openChaosPipe({ address: '127.0.0.1', port: this.redis.port });
    const postgres = await openChaosPipe({ address: '127.0.0.1', port: this.port });
    const server = await ChildServer.start(
      {
        hosts: { [domain]: {} },
        tls: { required: false },
        limits: { enabled: false },
        'stream-management': { 'resume-timeout': `${RESUME}s` },
        redis: `redis://127.0.0.1:${redis.address.port}`,
        database: `postgres://parley@127.0.0.1:${postgres.address.port}/postgres`,
        cluster: { name, processes: 1 },
      },
      ahead,
    );
    this.nodes.push({ name, server, redis, postgres, isBusy: false, isDown: false });
  }
}
