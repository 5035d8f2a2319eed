// TestServer: a Parley in this process, in memory, with a clock of our own and a log that can be read.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/log.ts';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { Config, ConfigInput, ListenerName } from '../../src/config/server.ts';
import { createServer, loadModules, type NameServer, type ParleyServer } from '../../src/index.ts';
import { Server, type ServerParts } from '../../src/server.ts';
import type { Driver } from '../../src/storage/ports.ts';
import type { Address } from './client.ts';

/** What the log said: level, message and fields. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface TestServerOptions {
  readonly clock?: Clock;
  readonly cluster?: Cluster;
  readonly driver?: Driver;
  readonly nameServer?: NameServer;
}

/** Settings for tests: no TLS needed, free ports on loopback, no limits on rates or silence, only clients served. */
const testSettings: ConfigInput = {
  database: 'memory',
  tls: { required: false },
  registration: 'open',
  s2s: { enabled: false },
  // (made when the first file comes)
  upload: { folder: join(tmpdir(), 'parley-test-uploads') },
  limits: { enabled: false, 'idle-timeout': '100d' },
  listen: {
    address: ['127.0.0.1'],
    c2s: 0,
    'c2s-tls': null,
    s2s: null,
    's2s-tls': null,
    component: null,
    http: null,
    https: null,
  },
};

/** Those that come with the server: to import them for each of a thousand servers takes longer than all else that a start does. */
const modules = loadModules(parseConfig({ database: 'memory' }));

export class TestServer implements AsyncDisposable {
  readonly server: ParleyServer;
  /** Everything that was logged, errors included. */
  readonly log: readonly LogLine[];

  private constructor(server: ParleyServer, log: readonly LogLine[]) {
    this.server = server;
    this.log = log;
  }

  /** Starts a server; settings are laid over those for tests, two levels deep. */
  static async start(settings: ConfigInput, options: TestServerOptions = {}): Promise<TestServer> {
    const log: LogLine[] = [];
    const server = await createServer(mergeSettings(testSettings, settings), {
      ...options,
      ...(settings.plugins === undefined ? { modules: await modules } : {}),
      log: recorder(log, {}),
      // passwords of tests need no protection, and hashing is slow on purpose
      iterations: 1,
    });
    return new TestServer(server, log);
  }

  /** Where clients connect. */
  get c2s(): Address {
    return this.addressOf('c2s');
  }

  addressOf(listener: ListenerName): Address {
    return this.server.address(listener);
  }

  /** Errors that were logged: a server that is not broken logs none. */
  get errors(): readonly LogLine[] {
    return this.log.filter((line) => line.level === 'error');
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Settings for tests, with others laid over them. */
export const testConfig = (settings: ConfigInput): Config => parseConfig(mergeSettings(testSettings, settings));

/** The server itself, for tests that look inside; with the same settings, and without a log unless one is given. */
export async function startServer(settings: ConfigInput, parts: Partial<ServerParts> = {}): Promise<Server> {
  return Server.start(testConfig(settings), { modules: await modules, iterations: 1, ...parts });
}

/** Objects are merged, everything else is replaced. */
export function mergeSettings(base: ConfigInput, more: ConfigInput): ConfigInput {
  return merge(base, more) as ConfigInput;
}

function merge(base: unknown, more: unknown): unknown {
  if (!isRecord(base) || !isRecord(more)) return more === undefined ? base : more;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(more)) merged[key] = merge(base[key], value);
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function recorder(lines: LogLine[], bound: object): Logger {
  const write =
    (level: LogLine['level']) =>
    (fields: object, message = ''): void => {
      lines.push({ level, message, fields: { ...bound, ...fields } });
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => recorder(lines, { ...bound, ...fields }),
  };
}
