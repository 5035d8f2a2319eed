// Rooms as operators have them, over a running server.
import { afterEach, expect, test } from 'vitest';
import { adminContext } from '../../src/admin.ts';
import { parseConfig } from '../../src/config/load.ts';
import { adminCommands } from '../../src/core/admin-commands.ts';
import { type AdminContext, runCommand } from '../../src/core/commands.ts';
import { loadModules } from '../../src/index.ts';
import { Server } from '../../src/server.ts';
import { logIn } from '../kit/login.ts';

const domain = 'verona.test';
const kitchen = `kitchen@groups.${domain}`;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(): Promise<{ server: Server; admin: AdminContext }> {
  const config = parseConfig({
    database: 'memory',
    tls: { required: false },
    limits: { enabled: false },
    listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, http: null },
    hosts: { [domain]: {} },
  });
  const server = await Server.start(config, { modules: await loadModules(config), iterations: 1 });
  cleanups.push(() => server.stop());
  const nothing = async () => ({ applied: [], restart: [] });
  return { server, admin: adminContext(server, { reload: nothing, stop() {}, logLevel() {}, errors: () => [] }) };
}

async function run(admin: AdminContext, name: string, args: object): Promise<string> {
  const command = adminCommands.find((one) => one.name === name)!;
  return command.render(await runCommand(command, admin, args));
}

test('a room is made, shown, changed and removed', async () => {
  const { admin } = await start();
  expect(await run(admin, 'room ls', {})).toBe('there are no rooms');
  const settings = ['roomname=The Kitchen', 'publicroom=0'];
  expect(await run(admin, 'room create', { jid: kitchen, owner: `nurse@${domain}`, settings })).toContain('owns it');
  expect(await run(admin, 'room ls', {})).toMatch(/kitchen@groups.verona.test +The Kitchen +no +open +yes/);
  const shown = await run(admin, 'room show', { jid: kitchen });
  expect(shown).toMatch(/^roomname +The Kitchen$/m);
  expect(shown).toMatch(/^roomowners +nurse@verona.test$/m);
  expect(shown).toMatch(/^occupants +0$/m);
  expect(
    await run(admin, 'room set', { jid: kitchen, settings: ['membersonly=1', `roomadmins=romeo@${domain}`] }),
  ).toContain('changed');
  expect(await run(admin, 'room show', { jid: kitchen })).toMatch(/^membersonly +1$/m);
  expect(await run(admin, 'room destroy', { jid: kitchen, reason: 'Supper' })).toContain('gone');
  expect(await run(admin, 'room ls', { domain: `groups.${domain}` })).toBe('there are no rooms');
});

test('a room that has gone elsewhere is made again by an operator', async () => {
  const { admin } = await start();
  await run(admin, 'room create', { jid: kitchen, owner: `nurse@${domain}` });
  await run(admin, 'room destroy', { jid: kitchen, venue: `hall@groups.${domain}` });
  await expect(run(admin, 'room show', { jid: kitchen })).rejects.toMatchObject({ code: 'not-found' });
  await run(admin, 'room create', { jid: kitchen, owner: `nurse@${domain}` });
  expect(await run(admin, 'room show', { jid: kitchen })).toContain(kitchen);
});

test('what cannot be is refused, and has made nothing', async () => {
  const { admin } = await start();
  const nurse = { jid: kitchen, owner: `nurse@${domain}` };
  const code = (name: string, args: object) =>
    run(admin, name, args).then(
      () => 'ok',
      (error) => error.code,
    );
  expect(await code('room show', { jid: kitchen })).toBe('not-found');
  expect(await code('room set', { jid: kitchen, settings: ['membersonly=1'] })).toBe('not-found');
  expect(await code('room destroy', { jid: kitchen })).toBe('not-found');
  expect(await code('room ls', { domain })).toBe('not-found');
  expect(await code('room create', { ...nurse, settings: ['membersonly=perhaps'] })).toBe('refused');
  expect(await code('room show', { jid: kitchen })).toBe('not-found');
  expect(await code('room create', nurse)).toBe('ok');
  expect(await code('room create', nurse)).toBe('exists');
  expect(await code('room set', { jid: kitchen, settings: [] })).toBe('bad-arguments');
  expect(await code('room set', { jid: kitchen, settings: ['membersonly'] })).toBe('bad-arguments');
  expect(await code('room set', { jid: kitchen, settings: ['roomowners='] })).toBe('refused');
});

test('nobody but the host has the powers of its operators', async () => {
  const { server, admin } = await start();
  await run(admin, 'room create', { jid: kitchen, owner: `nurse@${domain}` });
  await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
  const { client } = await logIn(server.address('c2s')!, { domain, user: 'romeo', password: 'secret', resource: 'x' });
  cleanups.push(() => client.destroy());
  for (const to of [kitchen, `groups.${domain}`]) {
    client.write(`<iq type='get' id='1' to='${to}'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>`);
    const item = await client.next();
    expect(item?.kind === 'element' && item.element.attrs.type).toBe('error');
  }
});
