// Messages kept for people who are away, while the database cannot be asked how many wait already: they are taken, not refused.
import { expect, test } from 'vitest';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { logIn } from '../../kit/login.ts';
import { offlineDriver } from '../../kit/offline-driver.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';

test('what comes while nothing can be counted is kept, once, and its sender hears of no error', async () => {
  const clock = new FakeClock();
  let isAway = false;
  const driver = offlineDriver(clock, (messages) => ({
    async count(owner, range) {
      if (isAway) throw new StorageUnavailable('the database is away');
      return messages.count(owner, range);
    },
  }));
  const server = await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver });
  try {
    for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
    const { client: romeo } = await logIn(server.c2s, { domain, user: 'romeo', password: 'secret' });
    const say = async (id: string): Promise<void> => {
      romeo.write(`<message to='juliet@${domain}' type='chat' id='${id}'><body>${id}</body></message>`);
      await romeo.fence();
    };
    isAway = true;
    await say('1');
    await say('2');
    isAway = false;
    await say('3');
    expect(romeo.inbox).toEqual([]);
    const { client: juliet } = await logIn(server.c2s, { domain, user: 'juliet', password: 'secret' });
    juliet.write('<presence/>');
    await juliet.fence();
    await turn();
    await juliet.fence();
    const came = juliet.inbox.flatMap((item) => (item.kind === 'element' && item.element.is('message') ? [item] : []));
    expect(came.map(({ element }) => element.attrs.id)).toEqual(['1', '2', '3']);
    await Promise.all([romeo.destroy(), juliet.destroy()]);
  } finally {
    await server.stop();
  }
});
