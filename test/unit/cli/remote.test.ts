// Commands on the store of a stopped server, while nodes on other machines run, or do not.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silent } from '../../../src/base/log.ts';
import { openRemote } from '../../../src/cli/remote.ts';
import { createRedisCluster } from '../../../src/cluster/redis/redis.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { adminCommands } from '../../../src/core/admin-commands.ts';
import type { AdminAccounts, OfflineContext } from '../../../src/core/commands.ts';
import { redisForAll } from '../../kit/redis-for-all.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley-remote-'));
const redis = redisForAll();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const find = (name: string) => adminCommands.find((one) => one.name === name)!;

async function open(url: string) {
  const disabled: string[] = [];
  const accounts = {
    disable: async (user: string) => void disabled.push(user),
    list: async (after?: string) => (after === undefined ? ['alice'] : []),
    facts: async () => ({ role: 'member' }),
  } as unknown as AdminAccounts;
  const context: OfflineContext = {
    hosts: ['localhost'],
    accounts: () => accounts,
    rolesOf: () => ({}),
    adminsOf: () => [],
    archives: () => undefined,
    invitationsOf: () => undefined,
    tokens: () => {
      throw new Error('nobody asks for tokens');
    },
    close: async () => {},
  };
  const config = parseConfig({ data: folder, database: 'postgres://nobody/db', redis: url });
  return { disabled, remote: await openRemote(config, async () => context) };
}

test('what other nodes have to know is refused while there are any; reading is not', async () => {
  const node = await createRedisCluster({ target: redis.url, log: silent, clock: systemClock, name: 'beta' });
  const { remote, disabled } = await open(redis.url);
  await expect(remote.run(find('user disable'), { jid: 'alice@localhost' })).rejects.toThrow(
    'node beta of the cluster is running elsewhere',
  );
  expect(disabled).toEqual([]);
  expect(await remote.run(find('user ls'), {})).toMatchObject({ accounts: ['alice@localhost'] });
  await remote.close();
  await node.close();

  const later = await open(redis.url);
  await later.remote.run(find('user disable'), { jid: 'alice@localhost' });
  expect(later.disabled).toEqual(['alice']);
});

test('without Redis nothing is known of other nodes, and the store is changed', async () => {
  const { remote, disabled } = await open('redis://127.0.0.1:1');
  await remote.run(find('user disable'), { jid: 'alice@localhost' });
  expect(disabled).toEqual(['alice']);
});
