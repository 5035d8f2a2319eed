// Every database there is, empty, for the contracts of storage.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import { openRedis } from '../../src/net/redis.ts';
import { ephemeralInRedis } from '../../src/storage/ephemeral-redis.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { createEmbedded, type Embedded } from '../../src/storage/postgres/embedded.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

export interface StorageWorld {
  driver(): Promise<Driver>;
  /** Where the database is, if it is a server of its own. */
  readonly config?: pg.ClientConfig;
  /** Lets time go by where the clock that was given is not the one that counts. */
  pass?(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** What builds each of them, by name. */
export const storageWorlds = (clock: Clock): Record<string, () => Promise<StorageWorld>> => ({
  async memory() {
    return { driver: async () => createMemoryDriver(clock), async close() {} };
  },
  async 'memory, with Redis for what expires'() {
    const server = await startRedis();
    const redis = await openRedis({ target: server.url, log: silent, clock: systemClock });
    await redis.whenUp(5000);
    return {
      driver: async () => createMemoryDriver(clock, ephemeralInRedis(redis)),
      pass: (ms) => sleep(ms),
      async close() {
        redis.close();
        await server.remove();
      },
    };
  },
  async 'PostgreSQL of the system'() {
    const postgres: TestPostgres = await startPostgres();
    return {
      config: postgres.config,
      driver: async () => createPostgresDriver({ connection: postgres.config, clock }),
      close: () => postgres.remove(),
    };
  },
  async 'embedded PostgreSQL'() {
    const folder = mkdtempSync(join(tmpdir(), 'parley embedded '));
    const embedded: Embedded = await createEmbedded({ dataFolder: folder, log: silent });
    return {
      config: embedded.config,
      driver: async () => createPostgresDriver({ connection: embedded.config, clock }),
      async close() {
        await embedded.stop();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
});

/** One of them for all tests of a file or suite: it is built before them, with a driver, and goes after them. */
export function storageForAll(build: () => Promise<StorageWorld>): {
  readonly world: StorageWorld;
  readonly driver: Driver;
} {
  let world: StorageWorld | undefined;
  let driver: Driver | undefined;
  beforeAll(async () => {
    world = await build();
    driver = await world.driver();
  });
  afterAll(async () => {
    await driver?.close();
    await world?.close();
  });
  return {
    get world() {
      return world!;
    },
    get driver() {
      return driver!;
    },
  };
}
