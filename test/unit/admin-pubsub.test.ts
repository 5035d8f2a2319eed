// Nodes of publish-subscribe as operators have them, over a running server; and what becomes of items whose time is over.
import { afterEach, expect, test } from 'vitest';
import { adminContext } from '../../src/admin.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import { adminCommands } from '../../src/core/admin-commands.ts';
import { type AdminContext, runCommand } from '../../src/core/commands.ts';
import { loadModules } from '../../src/index.ts';
import { sweepExpired } from '../../src/modules/pubsub/expiry.ts';
import { Server } from '../../src/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { FakeClock } from '../kit/clock.ts';
import { logIn } from '../kit/login.ts';
import { mergeSettings } from '../kit/test-server.ts';

const domain = 'verona.test';
const service = `pubsub.${domain}`;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(more: ConfigInput = {}) {
  const base: ConfigInput = {
    database: 'memory',
    tls: { required: false },
    limits: { enabled: false },
    listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, http: null },
    hosts: { [domain]: {} },
  };
  const config = parseConfig(mergeSettings(base, more));
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const server = await Server.start(config, { modules: await loadModules(config), iterations: 1, clock, driver });
  cleanups.push(() => server.stop());
  const nothing = async () => ({ applied: [], restart: [] });
  const admin = adminContext(server, { reload: nothing, stop() {}, logLevel() {}, errors: () => [] });
  return { server, admin, clock };
}

async function run(admin: AdminContext, name: string, args: object): Promise<string> {
  const command = adminCommands.find((one) => one.name === name)!;
  return command.render(await runCommand(command, admin, args));
}

async function romeo(server: Server) {
  const { accounts } = server.hosts.get(domain)!;
  if (!(await accounts.exists('romeo'))) await accounts.create('romeo', 'secret');
  const { client } = await logIn(server.address('c2s')!, { domain, user: 'romeo', password: 'secret' });
  cleanups.push(() => client.destroy());
  const ask = async (what: string): Promise<string> => {
    const pubsub = `<pubsub xmlns='http://jabber.org/protocol/pubsub'>${what}</pubsub>`;
    client.write(`<iq type='set' id='1' to='${service}'>${pubsub}</iq>`);
    const item = await client.next();
    return item?.kind === 'element' ? (item.element.attrs.type as string) : 'nothing';
  };
  return ask;
}

const configured = (fields: Record<string, string>): string => {
  const all = { FORM_TYPE: 'http://jabber.org/protocol/pubsub#node_config', ...fields };
  const written = Object.entries(all).map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`);
  return `<configure><x xmlns='jabber:x:data' type='submit'>${written.join('')}</x></configure>`;
};

test('nodes are listed, shown and removed', async () => {
  const { server, admin } = await start();
  expect(await run(admin, 'pubsub ls', {})).toBe('there are no nodes');
  const ask = await romeo(server);
  const form = configured({ 'pubsub#title': 'The Balcony', 'pubsub#access_model': 'whitelist' });
  expect(await ask(`<create node='balcony'/>${form}`)).toBe('result');
  expect(await ask(`<publish node='balcony'><item id='1'><n xmlns='urn:n'>ü</n></item></publish>`)).toBe('result');
  expect(await ask("<subscribe node='balcony' jid='romeo@verona.test'/>")).toBe('result');
  expect(await run(admin, 'pubsub ls', { service })).toMatch(
    /pubsub\.verona\.test +balcony +The Balcony +1 +\d+ +romeo@verona\.test +\d{4}-/,
  );
  const shown = await run(admin, 'pubsub show', { service, node: 'balcony' });
  expect(shown).toMatch(/^items +1$/m);
  expect(shown).toMatch(/^subscriptions +1$/m);
  expect(shown).toMatch(/^owner +romeo@verona\.test$/m);
  expect(shown).toMatch(/^access_model +whitelist$/m);
  expect(await run(admin, 'pubsub delete', { service, node: 'balcony' })).toContain('gone');
  expect(await run(admin, 'pubsub ls', {})).toBe('there are no nodes');
});

test('what is not there is said not to be', async () => {
  const { admin } = await start();
  const code = (name: string, args: object): Promise<unknown> =>
    run(admin, name, args).then(
      () => 'ok',
      (error) => [error.code, error.message],
    );
  const none = ['not-found', `there is no node balcony at ${service}`];
  expect(await code('pubsub show', { service, node: 'balcony' })).toEqual(none);
  expect(await code('pubsub delete', { service, node: 'balcony' })).toEqual(none);
  const nowhere = ['not-found', `there are no nodes at ${domain}; they are at ${service}`];
  expect(await code('pubsub ls', { service: domain })).toEqual(nowhere);
  const { admin: without } = await start({ pubsub: { enabled: false } });
  expect(await run(without, 'pubsub ls', {})).toBe('there are no nodes');
});

test('items whose time is over are removed by and by', async () => {
  const { server, admin, clock } = await start();
  const ask = await romeo(server);
  expect(await ask(`<create node='news'/>${configured({ 'pubsub#item_expire': '100' })}`)).toBe('result');
  expect(await ask("<publish node='news'><item id='1'><n xmlns='urn:n'/></item></publish>")).toBe('result');
  const items = async () => /^items +(\d)$/m.exec(await run(admin, 'pubsub show', { service, node: 'news' }))?.[1];
  await clock.advance(90_000);
  expect(await items()).toBe('1');
  await clock.advance(90_000);
  await expect.poll(items).toBe('0');
});

test('removal goes on in steps while there is something, and while it may', async () => {
  const sweeps: number[] = [];
  const left = { items: 1200 };
  const sweep = async (most: number): Promise<number> => {
    const gone = Math.min(most, left.items);
    left.items -= gone;
    sweeps.push(gone);
    return gone;
  };
  expect(await sweepExpired({ sweep }, () => sweeps.length < 2)).toBe(1000);
  expect(await sweepExpired({ sweep }, () => true)).toBe(200);
  expect(sweeps).toEqual([500, 500, 200]);
  left.items = 1_000_000;
  expect(await sweepExpired({ sweep }, () => true)).toBe(50_000);
});
