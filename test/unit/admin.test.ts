// Administration over a running server, and over the store of a stopped one.
import { afterEach, expect, test } from 'vitest';
import { adminContext, openOffline } from '../../src/admin.ts';
import { parseConfig } from '../../src/config/load.ts';
import { adminCommands } from '../../src/core/admin-commands.ts';
import { type AdminContext, type OfflineContext, runCommand, type SessionInfo } from '../../src/core/commands.ts';
import { loadModules } from '../../src/index.ts';
import { Server } from '../../src/server.ts';
import type { StreamClient } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { logIn } from '../kit/login.ts';
import { startPostgres } from '../kit/postgres.ts';

const domain = 'verona.test';
const jid = `romeo@${domain}`;
const day = 86_400_000;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const configOf = (database: string, more: object = {}) =>
  parseConfig({
    database,
    tls: { required: false },
    limits: { enabled: false, 'idle-timeout': '1000d' },
    listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, http: null },
    hosts: { [domain]: more },
  });

async function start(config = configOf('memory'), clock?: FakeClock): Promise<{ server: Server; admin: AdminContext }> {
  const modules = await loadModules(config);
  const server = await Server.start(config, { modules, iterations: 1, ...(clock && { clock }) });
  cleanups.push(() => server.stop());
  const nothing = async () => ({ applied: [], restart: [] });
  const admin = adminContext(server, { reload: nothing, stop() {}, logLevel() {}, errors: () => [] });
  await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
  return { server, admin };
}

async function enter(server: Server, resource = 'orchard'): Promise<StreamClient> {
  const { client } = await logIn(server.address('c2s')!, { domain, user: 'romeo', password: 'secret', resource });
  cleanups.push(() => client.destroy());
  return client;
}

async function note(client: StreamClient, id: string): Promise<void> {
  client.write(`<message to='${jid}' type='chat' id='${id}'><body>Remember</body></message>`);
  await client.fence();
}

async function run(context: AdminContext | OfflineContext, name: string, args: object) {
  const command = adminCommands.find((one) => one.name === name)!;
  return (await runCommand(command, context, args)) as Record<string, unknown>;
}

test('an administrator says how long an account is kept, and what is older goes by itself', async () => {
  const clock = new FakeClock();
  const { server, admin } = await start(configOf('memory'), clock);
  const orchard = await enter(server);
  await note(orchard, '1');
  expect(await run(admin, 'archive show', { jid })).toMatchObject({ messages: 1, retention: 'forever', own: false });
  await run(admin, 'archive retention', { jid, keep: '2d' });
  for (let n = 0; n < 2 * 4; n++) await clock.advance(day / 4);
  expect(await run(admin, 'archive show', { jid })).toMatchObject({ messages: 1, retention: '2d', own: true });
  await note(orchard, '2');
  await clock.advance(day / 4);
  await expect.poll(() => run(admin, 'archive show', { jid })).toMatchObject({ messages: 1 });
  expect(await run(admin, 'user show', { jid })).toMatchObject({ archive: { messages: 1, retention: '2d' } });
  expect(await server.metrics.text()).toContain(`parley_mam_pruned_total{host="${domain}"} 1`);
});

test('the same holds for rooms', async () => {
  const clock = new FakeClock();
  const { server, admin } = await start(configOf('memory'), clock);
  const orchard = await enter(server);
  const coven = `coven@groups.${domain}`;
  await expect(run(admin, 'archive show', { jid: coven })).rejects.toMatchObject({ code: 'not-found' });
  orchard.write(`<presence to='${coven}/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  const say = async (id: string): Promise<void> => {
    orchard.write(`<message to='${coven}' type='groupchat' id='${id}'><body>Remember</body></message>`);
    await orchard.fence();
  };
  await say('1');
  await expect.poll(() => run(admin, 'archive show', { jid: coven })).toMatchObject({ messages: 1, own: false });
  await run(admin, 'archive retention', { jid: coven, keep: '2d' });
  for (let n = 0; n < 2 * 4; n++) await clock.advance(day / 4);
  await say('2');
  await clock.advance(day / 4);
  await expect.poll(() => run(admin, 'archive show', { jid: coven })).toMatchObject({ messages: 1, retention: '2d' });
  expect(await server.metrics.text()).toContain(`parley_room_archive_pruned_total{host="groups.${domain}"} 1`);
  expect(await run(admin, 'archive purge', { jid: coven })).toMatchObject({ removed: 1 });
});

test('a host without archives has none to show, and its accounts are shown all the same', async () => {
  const { admin } = await start(configOf('memory', { modules: { mam: false } }));
  await expect(run(admin, 'archive show', { jid })).rejects.toMatchObject({ code: 'refused' });
  expect(await run(admin, 'user show', { jid })).not.toHaveProperty('archive');
});

test('archives are looked after while the server is stopped, too', async () => {
  const postgres = await startPostgres();
  cleanups.push(() => postgres.remove());
  const config = Object.assign(configOf('memory', { modules: { mam: { retention: '1y' } } }), {
    database: postgres.url,
  });
  const { server } = await start(config);
  const orchard = await enter(server);
  await note(orchard, '1');
  await note(orchard, '2');
  await orchard.destroy();
  await server.stop();
  const context = await openOffline(config);
  cleanups.push(() => context.close());
  expect(await run(context, 'archive show', { jid })).toMatchObject({ messages: 2, retention: '1y', own: false });
  await run(context, 'archive retention', { jid, keep: 'forever' });
  expect(await run(context, 'archive show', { jid })).toMatchObject({ retention: 'forever', own: true });
  await run(context, 'archive retention', { jid, keep: 'default' });
  expect(await run(context, 'archive purge', { jid, before: '2026-01-01' })).toMatchObject({ removed: 0 });
  expect(await run(context, 'archive purge', { jid })).toMatchObject({ removed: 2 });
  expect(await run(context, 'user show', { jid })).toMatchObject({ archive: { messages: 0, retention: '1y' } });
});

test('a session that waits to be resumed is listed as such, and can be ended', async () => {
  const { server, admin } = await start();
  const orchard = await enter(server);
  orchard.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  await orchard.fence();
  const full = `${jid}/orchard`;
  const listed = async () => (await run(admin, 'session ls', { of: jid })).sessions as readonly SessionInfo[];
  expect(await listed()).toMatchObject([{ jid: full, address: '127.0.0.1', hibernating: false }]);
  await orchard.reset();
  await expect.poll(listed).toMatchObject([{ jid: full, hibernating: true }]);
  expect((await listed())[0]).not.toHaveProperty('address');
  expect(await run(admin, 'session kick', { jid: full })).toMatchObject({ ended: 1 });
  expect(await listed()).toEqual([]);
  await expect(run(admin, 'session kick', { jid: full })).rejects.toMatchObject({ code: 'not-found' });
});
