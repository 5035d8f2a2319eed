// Connections to Redis or Valkey: one server, one that Sentinel watches, or a Redis Cluster. Commands fail at once while there is no
// connection, and when theirs breaks: none is sent a second time from here, because the first may have been carried out.
// Only this file and `redis-target.ts` know ioredis, which is loaded when the first connection is opened.
import { createHash } from 'node:crypto';
import type { Redis as Client, Cluster as ClusterClient } from 'ioredis';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { restoreStringMethods } from '../base/string-methods.ts';
import { backOff, CONNECT_MS, optionsOf, type RedisTarget, SILENCE_MS } from './redis-target.ts';

/** A script that Redis runs as one step. All its keys have the same tag, so that they are in one slot of a Redis Cluster. */
export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

export type RedisArgument = string | number | Buffer;

export interface RedisConnectionOptions {
  readonly target: RedisTarget;
  /** What all keys and channels start with; `parley:` unless said otherwise. */
  readonly prefix?: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Something that answers commands. */
export interface RedisCommands {
  /**
   * Sends a command; what Redis answers, with maps as flat lists.
   * @throws Error where Redis refuses it, and where nobody knows whether it was carried out: the connection is not there or broke
   */
  command(name: string, ...args: readonly RedisArgument[]): Promise<unknown>;
  /** Runs a script; throws as `command`. */
  run(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown>;
}

/** A connection of its own for commands that wait. */
export interface RedisReader extends RedisCommands {
  readonly isUp: boolean;
  /** Called each time the connection is there: the first time too, unless it is there already. */
  onUp(fn: () => void): () => void;
  close(): void;
}

export interface RedisConnection extends RedisCommands {
  readonly isUp: boolean;
  /** Whether it is one to a Redis Cluster as a whole. */
  readonly isToCluster: boolean;
  /** A key or channel in the slot of a tag: `parley:{tag}:name`. */
  key(tag: string, name: string): string;
  /** A channel as Redis knows it, for scripts: what `subscribe` and `publish` call `name`. */
  channel(name: string): string;
  /** Resolves when commands can be sent; rejects when they cannot within that time, in milliseconds, and at once where that will not change. */
  whenUp(timeout: number): Promise<void>;
  /**
   * What is published on a channel from now on, until the function returned is called. Resolves when Redis has heard of it.
   * @throws Error where it does not let this user listen
   */
  subscribe(channel: string, fn: (message: string) => void): Promise<() => void>;
  publish(channel: string, message: string): Promise<unknown>;
  /** Called when a connection is there again after a break: published messages, and what this node had put, may be lost. */
  onReconnected(fn: () => void): () => void;
  /** Called when commands can no longer be sent. */
  onDown(fn: () => void): () => void;
  /** Another connection to the same place. */
  openReader(): RedisReader;
  close(): void;
}

export function defineScript(lua: string): RedisScript {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

type AnyClient = Client | ClusterClient;
type Library = Pick<typeof import('ioredis'), 'Redis' | 'Cluster'>;

const UNREACHABLE = 'Redis cannot be reached';

/** Opens a connection; it is there when `whenUp` has resolved, and comes back by itself whenever it breaks. */
export async function openRedis(options: RedisConnectionOptions): Promise<RedisConnection> {
  const library = await import('ioredis');
  // it extends String
  restoreStringMethods();
  return new Connection(library, options);
}

class Connection implements RedisConnection {
  private readonly library: Library;
  private readonly options: RedisConnectionOptions;
  readonly isToCluster: boolean;
  private readonly prefix: string;
  private readonly log: Logger;
  private readonly client: AnyClient;
  private readonly subscriber: Subscriber;
  private readonly readers = new Set<Reader>();
  private readonly returnees = new Set<() => void>();
  private readonly mourners = new Set<() => void>();
  private wasUp = false;
  private isDown = false;
  private isClosed = false;
  /** Why it could not be reached, the last time. */
  private problem = '';

  constructor(library: Library, options: RedisConnectionOptions) {
    this.library = library;
    this.options = options;
    this.isToCluster = typeof options.target !== 'string' && 'cluster' in options.target;
    this.prefix = options.prefix ?? 'parley:';
    this.log = options.log;
    this.client = this.createClient();
    this.client.on('ready', () => this.rise());
    this.client.on('close', () => this.fall());
    this.client.on('error', (err: Error) => {
      this.problem = reasonOf(err);
      this.fall(withoutCommand(err));
    });
    this.subscriber = new Subscriber(
      () => this.createSubscriber(),
      () => this.returned(),
    );
  }

  get isUp(): boolean {
    return this.client.status === 'ready';
  }

  key(tag: string, name: string): string {
    // Redis takes what is between the first brace and the next closing one, unless that is nothing
    return `${this.prefix}{${tag.includes('}') ? tag.replaceAll('}', '%7D') : tag}}:${name}`;
  }

  channel(name: string): string {
    return this.prefix + name;
  }

  command(name: string, ...args: readonly RedisArgument[]): Promise<unknown> {
    if (!this.isUp) return Promise.reject(new Error(UNREACHABLE));
    return this.client.call(name, ...args).catch(refused);
  }

  run(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    if (!this.isUp) return Promise.reject(new Error(UNREACHABLE));
    return runScript(this.client, script, keys, args);
  }

  whenUp(timeout: number): Promise<void> {
    if (this.isUp) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.client.off('ready', arrive);
        this.client.off('error', refuse);
        cancel();
      };
      const arrive = (): void => {
        done();
        resolve();
      };
      const fail = (): void => {
        done();
        // it is there, and ioredis waits for it to have read what it had saved
        const isThere = this.problem === '' && this.client.status === 'connect';
        const why = isThere ? 'it is there, and loads its data' : this.problem;
        reject(new Error(`${UNREACHABLE}${why && ` (${why})`}`));
      };
      const refuse = (err: Error): void => {
        if (forGood.test(reasonOf(err))) fail();
      };
      const cancel = this.options.clock.after(timeout, fail);
      this.client.on('ready', arrive);
      this.client.on('error', refuse);
    });
  }

  subscribe(channel: string, fn: (message: string) => void): Promise<() => void> {
    return this.subscriber.subscribe(this.channel(channel), fn);
  }

  publish(channel: string, message: string): Promise<unknown> {
    return this.command('PUBLISH', this.channel(channel), message);
  }

  onReconnected(fn: () => void): () => void {
    this.returnees.add(fn);
    return () => this.returnees.delete(fn);
  }

  onDown(fn: () => void): () => void {
    this.mourners.add(fn);
    return () => this.mourners.delete(fn);
  }

  openReader(): RedisReader {
    const reader = new Reader(this.createClient(), () => this.readers.delete(reader));
    this.readers.add(reader);
    return reader;
  }

  close(): void {
    this.isClosed = true;
    for (const reader of this.readers) reader.close();
    this.subscriber.close();
    this.client.disconnect();
  }

  private rise(): void {
    if (this.isDown) this.log.info({}, 'Redis is back');
    this.isDown = false;
    if (this.wasUp) this.returned();
    this.wasUp = true;
  }

  private fall(err?: Error): void {
    if (this.isDown || this.isClosed || this.isUp) return;
    this.isDown = true;
    this.log.warn({ err }, 'Redis cannot be reached');
    for (const mourner of this.mourners) mourner();
  }

  private returned(): void {
    for (const fn of this.returnees) fn();
  }

  private createClient(): AnyClient {
    const { target } = this.options;
    const { Cluster, Redis } = this.library;
    if (typeof target === 'string' || !('cluster' in target)) return new Redis(optionsOf(target));
    const nodes = target.cluster.map((url) => optionsOf(url));
    const { host: _host, port: _port, retryStrategy: _retry, enableOfflineQueue: _queue, ...redisOptions } = nodes[0]!;
    return new Cluster(
      nodes.map(({ host, port }) => ({ host: host!, port: port! })),
      {
        redisOptions,
        // connections to its nodes are opened by the first command, which must not be the only one to wait for that
        enableOfflineQueue: true,
        clusterRetryStrategy: backOff,
        clusterNodeRetryStrategy: backOff,
        slotsRefreshTimeout: CONNECT_MS,
        // a command that broke off may have been carried out
        retryDelayOnFailover: 0,
        dnsLookup: (address, callback) => callback(null, address),
      },
    );
  }

  /** Whichever node of a Redis Cluster it listens to, it hears what is published at any. */
  private createSubscriber(): Client {
    const { target } = this.options;
    const { Redis } = this.library;
    if (typeof target === 'string' || !('cluster' in target))
      return new Redis({ ...optionsOf(target), retryStrategy: null });
    const known = 'nodes' in this.client ? this.client.nodes('all') : [];
    const { host, port } = known[Math.floor(Math.random() * known.length)]?.options ?? {};
    const seed = optionsOf(target.cluster[Math.floor(Math.random() * target.cluster.length)]!);
    return new Redis({ ...seed, ...(host !== undefined && port !== undefined && { host, port }), retryStrategy: null });
  }
}

class Reader implements RedisReader {
  private readonly client: AnyClient;
  private readonly onClose: () => void;

  constructor(client: AnyClient, onClose: () => void) {
    this.client = client;
    this.onClose = onClose;
    // whoever opened the connection says so
    client.on('error', () => {});
  }

  get isUp(): boolean {
    return this.client.status === 'ready';
  }

  command(name: string, ...args: readonly RedisArgument[]): Promise<unknown> {
    return this.client.call(name, ...args).catch(refused);
  }

  run(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    return runScript(this.client, script, keys, args);
  }

  onUp(fn: () => void): () => void {
    this.client.on('ready', fn);
    return () => this.client.off('ready', fn);
  }

  close(): void {
    this.client.disconnect();
    this.onClose();
  }
}

/** Listens to channels over a connection of its own, and over another one when that breaks. */
class Subscriber {
  private readonly create: () => Client;
  private readonly onReturn: () => void;
  private readonly channels = new Map<string, Set<(message: string) => void>>();
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private pulse: NodeJS.Timeout | undefined;
  private attempts = 0;
  private waiting: { readonly resolve: () => void; readonly reject: (err: Error) => void }[] = [];
  private isListening = false;
  private wasUp = false;
  private isClosed = false;

  constructor(create: () => Client, onReturn: () => void) {
    this.create = create;
    this.onReturn = onReturn;
  }

  async subscribe(channel: string, fn: (message: string) => void): Promise<() => void> {
    const listeners = this.channels.get(channel) ?? new Set();
    this.channels.set(channel, listeners.add(fn));
    const stop = (): void => {
      listeners.delete(fn);
      if (listeners.size > 0 || this.channels.get(channel) !== listeners) return;
      this.channels.delete(channel);
      if (this.client?.status === 'ready') this.client.unsubscribe(channel).catch(() => {});
    };
    if (this.client === undefined) this.connect();
    try {
      await this.listensTo(channel);
    } catch (err) {
      stop();
      throw err;
    }
    return stop;
  }

  private async listensTo(channel: string): Promise<void> {
    try {
      if (this.isListening) {
        await this.client?.subscribe(channel);
        return;
      }
    } catch (err) {
      if (isForbidden(err)) throw err;
      // the next connection will start with all channels
    }
    await new Promise<void>((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearInterval(this.pulse);
    this.client?.disconnect();
  }

  private connect(): void {
    const client = this.create();
    this.client = client;
    client.on('error', () => {});
    client.on('message', (channel: string, message: string) => {
      for (const fn of this.channels.get(channel) ?? []) fn(message);
    });
    client.on('ready', () => void this.listen(client));
    client.on('end', () => this.again());
  }

  private async listen(client: Client): Promise<void> {
    // those that are added while it waits are asked for by `subscribe`
    this.isListening = true;
    try {
      if (this.channels.size > 0) await client.subscribe(...this.channels.keys());
    } catch (err) {
      // (whoever listens already goes on trying: what may be done is changed by operators)
      if (isForbidden(err)) for (const { reject } of this.waiting.splice(0)) reject(err);
      client.disconnect();
      return;
    }
    this.attempts = 0;
    clearInterval(this.pulse);
    // a connection on which nothing is ever asked would not be known to be broken
    this.pulse = setInterval(() => client.ping().catch(() => {}), SILENCE_MS / 2).unref();
    for (const { resolve } of this.waiting.splice(0)) resolve();
    if (this.wasUp) this.onReturn();
    this.wasUp = true;
  }

  private again(): void {
    this.isListening = false;
    clearInterval(this.pulse);
    if (this.isClosed) return;
    this.timer = setTimeout(() => this.connect(), backOff(++this.attempts)).unref();
  }
}

/** What is not mended by waiting: a password, a name, the number of a database. */
const forGood = /^(WRONGPASS|NOAUTH|NOPERM|ERR (invalid password|AUTH|Client sent AUTH|DB index|SELECT))/;

const isForbidden = (err: unknown): err is Error => err instanceof Error && err.message.startsWith('NOPERM');

/** Of a failure on several ways, that on the last one. */
function reasonOf(err: Error): string {
  if (err instanceof AggregateError && err.errors.length > 0) return reasonOf(err.errors.at(-1) as Error);
  const { lastNodeError } = err as Error & { lastNodeError?: unknown };
  return lastNodeError instanceof Error ? reasonOf(lastNodeError) : err.message;
}

/** ioredis adds the whole command: a password, or what people write to one another. Errors are logged. */
function withoutCommand(err: Error): Error {
  const { command: _command, lastNodeError, ...rest } = err as Error & { command?: unknown; lastNodeError?: unknown };
  const inner = err instanceof AggregateError ? (err.errors as Error[]).at(-1) : lastNodeError;
  const why = inner instanceof Error ? `${err.message} (${inner.message})` : err.message;
  const bare = Object.assign(new Error(why), rest);
  if (err.stack !== undefined) bare.stack = err.stack;
  return bare;
}

function refused(err: Error): never {
  throw withoutCommand(err);
}

async function runScript(
  client: AnyClient,
  { lua, sha }: RedisScript,
  keys: readonly string[],
  args: readonly RedisArgument[],
): Promise<unknown> {
  try {
    return await client.call('EVALSHA', sha, keys.length, ...keys, ...args);
  } catch (err) {
    if (!(err as Error).message.startsWith('NOSCRIPT')) return refused(err as Error);
    return client.call('EVAL', lua, keys.length, ...keys, ...args).catch(refused);
  }
}
