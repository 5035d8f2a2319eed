// For how many connections a Postgres has room.
import pg from 'pg';

/** A node takes up to so many: its pool, one for appends, and one that looks whether the database is back. */
export const CONNECTIONS_OF_A_NODE = 10;

/** How many connections a database lets its users have. @throws Error where it does not answer */
export async function connectionRoom(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 5_000 });
  try {
    await client.connect();
    const { rows } = await client.query<{ room: number }>(
      "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS room",
    );
    return rows[0]!.room;
  } finally {
    await client.end().catch(() => {});
  }
}
