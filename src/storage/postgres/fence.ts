// Lives of nodes that are over must not write. Connections carry the name of their life; a fence writes that name down, and then ends
// every connection which has it. A connection looks, when it has its name and before it is used, whether that is written down: so each
// is either seen by the fence or sees it. What such a connection was asked is committed before the fence holds, or never.
import type pg from 'pg';
import { StorageUnavailable } from '../errors.ts';
import type { Database } from './database.ts';
import { schema } from './tables.ts';

const table = `${schema}.fenced_lives`;
/** How long a server process may take to end, in milliseconds. */
const patience = 5_000;
const step = 20;
/** PostgreSQL cuts longer names. */
const longestName = 63;

/** As connections are named; the end of a life's name is what tells it from others. */
export function connectionName(life: string): string {
  const prefix = 'parley ';
  return prefix + life.replace(/[^\x20-\x7e]/g, '?').slice(prefix.length - longestName);
}

/** Where lives that are over are written down. */
export const fenceTables: readonly string[] = [
  `CREATE SCHEMA IF NOT EXISTS ${schema}`,
  `CREATE TABLE IF NOT EXISTS ${table} (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`,
];

/** Gives a new connection its name. @throws StorageUnavailable where that life is over */
export async function introduce(client: pg.ClientBase, name: string): Promise<void> {
  const text = `SET application_name = ${client.escapeLiteral(name)};
    SELECT 1 FROM ${table} WHERE name = ${client.escapeLiteral(name)}`;
  // several statements have several results
  const results = (await client.query(text)) as unknown as readonly pg.QueryResult[];
  if (results[1]!.rows.length > 0) throw new LifeOver();
}

/** The database refuses what this life of the node asks. */
export class LifeOver extends StorageUnavailable {
  constructor() {
    super('the other nodes hold this life of the node for dead');
  }
}

/** Resolves when nothing can be written any more by connections of that name. @throws StorageUnavailable where that is not certain */
export async function fenceOff(database: Database, name: string): Promise<void> {
  const old = `DELETE FROM ${table} WHERE at < now() - interval '30 days'`;
  await database.run(
    `WITH old AS (${old}) INSERT INTO ${table} (name) VALUES ($1) ON CONFLICT DO NOTHING`,
    [name],
    true,
  );
  const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()`;
  for (const deadline = performance.now() + patience; ; ) {
    const found = await database.run(end, [name], true);
    if (found.length === 0) return;
    if (performance.now() > deadline) throw new StorageUnavailable('connections of a dead node do not end');
    await new Promise((resolve) => setTimeout(resolve, step));
  }
}
