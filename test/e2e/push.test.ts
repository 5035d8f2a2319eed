// Push notifications with a client that others wrote: Converse.js registers an app server (XEP-0357 5).
import { afterAll, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createServer } from '../../src/index.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { KvStore } from '../../src/storage/ports.ts';
import { kv } from '../../src/storage/specs.ts';
import { AppServer } from '../kit/app-server.ts';
import { Chromium } from '../kit/chromium.ts';
import { ConverseSite } from '../kit/converse-site.ts';
import { logIn } from '../kit/login.ts';

const domain = 'browser.example';
const patience = 20_000;
const ended: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

test('Converse.js registers its app server, which is told when the browser is gone', { timeout: 90_000 }, async () => {
  const driver = createMemoryDriver(systemClock);
  // (Converse.js trusts no server that hashes a password once only, as those of tests do)
  const server = await createServer(
    {
      database: 'memory',
      hosts: { [domain]: {} },
      tls: { required: false },
      s2s: { enabled: false },
      components: { 'push.browser.example': { secret: 'secret' } },
      listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, component: 0, http: 0, https: null },
    },
    { driver },
  );
  ended.push(() => server.stop());
  for (const user of ['nurse', 'romeo']) await server.accounts.create(`${user}@${domain}`, 'secret');
  const push = await AppServer.connect(server.address('component'), 'push.browser.example', 'secret');
  ended.push(() => push.close());
  const site = await ConverseSite.start();
  ended.push(() => site[Symbol.dispose]());
  const browser = await Chromium.start();
  ended.push(() => browser[Symbol.asyncDispose]());

  const { address, port } = server.address('http');
  const tab = await browser.open(
    site.url({
      auto_login: true,
      jid: `nurse@${domain}`,
      password: 'secret',
      websocket_url: `ws://${address}:${port}/xmpp-websocket`,
      view_mode: 'overlayed',
      push_app_servers: [{ jid: push.domain, node: 'nurse-in-the-browser', secret: 'eruio234vzxc2kla-91' }],
    }),
  );
  expect(await tab.until(patience, 'window.connections > 0'), tab.complaints.join('\n')).toBe(true);
  const stores = await driver.open(domain, 'push', { registrations: kv() });
  const registrations = stores.registrations as KvStore<readonly { readonly node: string }[]>;
  await expect.poll(() => registrations.get('nurse'), { timeout: patience }).toHaveLength(1);

  const { client: romeo } = await logIn(server.address('c2s'), {
    domain,
    user: 'romeo',
    password: 'secret',
    resource: 'desk',
  });
  ended.push(() => romeo.destroy());
  romeo.write(`<message to='nurse@${domain}' type='chat' id='1'><body>Art thou there?</body></message>`);
  await romeo.fence();
  expect(push.published).toEqual([]);
  await tab.evaluate('void api.user.logout()');
  await expect
    .poll(
      async () => {
        romeo.write(`<message to='nurse@${domain}' type='chat'><body>And now?</body></message>`);
        await romeo.fence();
        return push.published.length > 0;
      },
      { timeout: patience, interval: 500 },
    )
    .toBe(true);
  expect(push.published[0]).toMatchObject({
    from: domain,
    node: 'nurse-in-the-browser',
    options: { secret: 'eruio234vzxc2kla-91' },
    summary: { 'message-count': '1', 'last-message-body': 'New message' },
  });
});
