// Presence while the database cannot be asked for the hash of a picture: it goes out as the client has said it.
import { expect, test } from 'vitest';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Driver, KvStore } from '../../../../src/storage/ports.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';

test('presence does not wait for a picture that nobody can look up', async () => {
  const clock = new FakeClock();
  const memory = createMemoryDriver(clock);
  let asked = 0;
  const driver: Driver = {
    ...memory,
    async open(host, module, specs) {
      const opened = await memory.open(host, module, specs);
      if (module !== 'avatars') return opened;
      const get: KvStore<unknown>['get'] = async () => {
        asked++;
        throw new StorageUnavailable('the database is away');
      };
      return { ...opened, shown: { ...(opened.shown as KvStore<unknown>), get } };
    },
  };
  const server = await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver });
  try {
    await server.server.accounts.create(`romeo@${domain}`, 'secret');
    const { client: romeo } = await logIn(server.c2s, { domain, user: 'romeo', password: 'secret' });
    romeo.write('<presence><show>away</show></presence>');
    await romeo.fence();
    const heard = romeo.inbox.flatMap((item) => (item.kind === 'element' ? [item.element] : []));
    expect(heard.map(({ name, attrs }) => [name, attrs.type])).toEqual([['presence', undefined]]);
    expect(heard[0]?.getChildText('show')).toBe('away');
    expect(heard[0]?.getChild('x')).toBeUndefined();
    expect(asked).toBeGreaterThan(0);
    await romeo.destroy();
  } finally {
    await server.stop();
  }
});
