// What `parley doctor` looks at where the database is a Postgres elsewhere.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examineRoom } from '../../src/composition/database-room.ts';
import { parseConfig } from '../../src/config/load.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.remove());

test('the connections that Postgres lets its users have are compared with those that the nodes may want', async () => {
  const { host, user, database } = postgres.config;
  const config = parseConfig({ database: `postgres:///${database}?host=${host}&user=${user}` });
  // 100, of which 3 are for superusers alone
  expect(await examineRoom(config, 4)).toEqual({ connections: 97, wanted: 40, nodes: 4 });
});
