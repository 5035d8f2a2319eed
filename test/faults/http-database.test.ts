// While the database is away, whoever comes over HTTP is told so, in the form that they read; afterwards all is as it was.
import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { adminCommands } from '../../src/core/admin-commands.ts';
import { runCommand } from '../../src/core/commands.ts';
import { StorageUnavailable } from '../../src/storage/errors.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { lateDriver } from '../kit/late-driver.ts';
import { Portal } from '../kit/portal.ts';
import { startServer } from '../kit/test-server.ts';

test('the REST interface, OAuth and the interface for the portal answer 503, and go on when it is back', async () => {
  let isAway = false;
  const driver = lateDriver(createMemoryDriver(systemClock), async () => {
    if (isAway) throw new StorageUnavailable('gone');
  });
  const server = await startServer({ hosts: { 'one.test': {} }, listen: { http: 0 } }, { driver });
  const base = `http://127.0.0.1:${server.address('http')!.port}`;
  await server.hosts.get('one.test')!.accounts.create('romeo', 'wherefore', 'admin');
  const command = adminCommands.find(({ name }) => name === 'token create')!;
  const { token } = (await runCommand(command, server.admin, { scope: ['*:write'] })) as { token: string };
  const portal = new Portal(base, 'one.test');
  await portal.login('romeo', 'wherefore');
  const rest = async (): Promise<Response> =>
    fetch(`${base}/api/v1/users`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': 'one' },
      body: JSON.stringify({ jid: 'juliet@one.test', generate: true }),
    });

  isAway = true;
  const refused = await rest();
  expect([refused.status, refused.headers.get('content-type')]).toEqual([503, 'application/problem+json']);
  expect((await portal.login('romeo', 'wherefore')).status).toBe(503);
  const users = await portal.get('/admin_api/users');
  expect([users.status, users.json.error.type]).toEqual([503, 'wait']);
  expect((await portal.ping('romeo@one.test')).status).toBe(503);
  expect((await portal.get('/register_api/invite/nothing')).status).not.toBe(500);

  isAway = false;
  // what could not be done is not taken for done
  expect((await rest()).status).toBe(201);
  expect((await portal.get('/admin_api/users')).json).toHaveLength(2);
  expect((await portal.ping('romeo@one.test')).status).toBe(200);
  await server.stop();
});
