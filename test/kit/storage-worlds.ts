// Every database there is, empty, for the contracts of storage.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { createEmbedded, type Embedded } from '../../src/storage/postgres/embedded.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';

export interface StorageWorld {
  driver(): Promise<Driver>;
  close(): Promise<void>;
}

/** What builds each of them, by name. */
export const storageWorlds = (clock: Clock): Record<string, () => Promise<StorageWorld>> => ({
  async memory() {
    return { driver: async () => createMemoryDriver(clock), async close() {} };
  },
  async 'PostgreSQL of the system'() {
    const postgres: TestPostgres = await startPostgres();
    return {
      driver: async () => createPostgresDriver({ connection: postgres.config, clock }),
      close: () => postgres.remove(),
    };
  },
  async 'embedded PostgreSQL'() {
    const folder = mkdtempSync(join(tmpdir(), 'parley embedded '));
    const embedded: Embedded = await createEmbedded({ dataFolder: folder, log: silent });
    return {
      driver: async () => createPostgresDriver({ connection: embedded.config, clock }),
      async close() {
        await embedded.stop();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
});
