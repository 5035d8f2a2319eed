// Opens the storage that the configuration names, with its cache.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { RedisConnection } from '../net/redis.ts';
import { cached, type Invalidation } from './cached.ts';
import { ephemeralInRedis } from './ephemeral-redis.ts';
import { type Measure, measured } from './measured.ts';
import { createMemoryDriver } from './memory.ts';
import type { Driver } from './ports.ts';
import { createPostgresDriver } from './postgres/driver.ts';
import { createEmbedded } from './postgres/embedded.ts';

export interface StorageOptions {
  /** `memory`, `embedded`, or a `postgres://` URL. */
  readonly database: string;
  /** The data folder, for the embedded database. */
  readonly data: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Where other nodes share the database: how they are told what has changed. */
  readonly invalidation?: Invalidation;
  /** What the nodes share: where there are several, values that expire are kept there. */
  readonly redis?: RedisConnection | undefined;
  /** Told how long each operation of the database took. */
  readonly measure?: Measure;
}

/**
 * Opens the database; everything is closed, and an embedded server stopped, by the driver's `close`.
 * @throws EmbeddedError, StorageUnavailable, StorageMismatch when the server cannot start with it
 */
export async function openStorage(options: StorageOptions): Promise<Driver> {
  const { database, data, log, clock, invalidation, redis, measure } = options;
  const ephemeral = redis && ephemeralInRedis(redis);
  const driver = await openDriver();
  return cached(measure === undefined ? driver : measured(driver, measure), { invalidation });

  async function openDriver(): Promise<Driver> {
    if (database === 'memory') return createMemoryDriver(clock, ephemeral);
    const parts = { log, ephemeral, ...(clock && { clock }) };
    if (database === 'embedded') {
      const embedded = await createEmbedded({ dataFolder: data, log });
      return createPostgresDriver({ ...parts, connection: embedded.config, onClose: () => embedded.stop() });
    }
    const driver = createPostgresDriver({ ...parts, connection: database });
    try {
      await driver.ping();
    } catch (error) {
      await driver.close();
      throw error;
    }
    return driver;
  }
}
