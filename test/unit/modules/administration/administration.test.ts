// What scenes do not show of XEP-0133: several domains, many users, and the end of the server.
import { afterEach, expect, test } from 'vitest';
import type { AdminOptions } from '../../../../src/admin.ts';
import type { ConfigInput } from '../../../../src/config/server.ts';
import type { Server } from '../../../../src/server.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { Commander } from '../../../kit/commander.ts';
import { startServer } from '../../../kit/test-server.ts';

const ADMIN = 'http://jabber.org/protocol/admin';

const running: { server: Server; clients: Commander[] }[] = [];
afterEach(async () => {
  for (const { server, clients } of running.splice(0)) {
    for (const { client } of clients) await client.destroy();
    await server.stop();
  }
});

async function start(settings: ConfigInput, parts: Parameters<typeof startServer>[1] = {}) {
  const server = await startServer(settings, parts);
  const clients: Commander[] = [];
  running.push({ server, clients });
  return {
    server,
    async person(jid: string, role?: string): Promise<Commander> {
      const [user = '', domain = ''] = jid.split('@');
      await server.hosts.get(domain)!.accounts.create(user, 'secret', role);
      const client = await Commander.logIn(server.address('c2s')!, domain, user);
      clients.push(client);
      return client;
    },
  };
}

function processOf(): { readonly done: string[]; readonly process: AdminOptions } {
  const done: string[] = [];
  return {
    done,
    process: {
      reload: async () => ({ applied: [], restart: [] }),
      stop: () => void done.push('stop'),
      restart: async () => {
        done.push('restart');
        return { replaced: [] };
      },
      logLevel: () => {},
      errors: () => [],
    },
  };
}

test('an admin of one domain among several administers that one, and not the server', async () => {
  const { person, server } = await start(
    { hosts: { 'verona.test': {}, 'mantua.test': {} }, admins: ['duke@verona.test', 'prince@verona.test'] },
    processOf(),
  );
  await server.hosts.get('mantua.test')!.accounts.create('apothecary', 'secret');
  const romeo = await person('romeo@verona.test', 'admin');
  expect(await romeo.run(`${ADMIN}#shutdown`)).toMatchObject({ refused: ['forbidden', 'text'] });
  expect(await romeo.run('urn:parley:admin:status')).toMatchObject({ refused: ['forbidden', 'text'] });
  expect(await romeo.run('urn:parley:admin:reload')).toMatchObject({ refused: ['forbidden', 'text'] });
  expect(await romeo.run(`${ADMIN}#get-registered-users-num`, { to: 'mantua.test' })).toMatchObject({
    refused: ['forbidden', 'text'],
  });
  // nor by the commands of the own domain
  for (const node of [`${ADMIN}#delete-user`, 'urn:parley:admin:user-rm']) {
    const fields = { accountjids: 'apothecary@mantua.test', jid: 'apothecary@mantua.test' };
    expect((await romeo.run(node, { fields })).refused[0]).toBe('item-not-found');
  }
  expect(await server.hosts.get('mantua.test')!.accounts.exists('apothecary')).toBe(true);
  expect((await romeo.run('urn:parley:admin:user-ls', { fields: {} })).values.accounts).toEqual(['romeo@verona.test']);
  // whom the settings name administers both, and the server
  const duke = await person('duke@verona.test');
  await server.hosts.get('verona.test')!.accounts.create('prince', 'secret');
  // so nobody who administers less logs in as they
  const fields = {
    accountjid: 'prince@verona.test',
    jid: 'prince@verona.test',
    reset: 'prince@verona.test',
    password: 'mine',
  };
  for (const node of [`${ADMIN}#change-user-password`, 'urn:parley:admin:user-passwd', 'urn:parley:admin:invite']) {
    expect(await romeo.run(node, { fields })).toMatchObject({ refused: ['forbidden', 'text'] });
  }
  expect(await duke.run(`${ADMIN}#get-registered-users-num`, { to: 'mantua.test' })).toMatchObject({
    values: { registeredusersnum: ['1'] },
  });
  expect((await duke.run('urn:parley:admin:user-ls', { fields: {} })).values.accounts).toEqual([
    'duke@verona.test',
    'prince@verona.test',
    'romeo@verona.test',
    'apothecary@mantua.test',
  ]);
  expect(await duke.run('urn:parley:admin:status')).toMatchObject({ status: 'completed' });
  const changed = { fields: { ...fields, password: 'another' } };
  expect(await duke.run(`${ADMIN}#change-user-password`, changed)).toMatchObject({ status: 'completed' });
});

test('the server is stopped, or its nodes replaced, when it was announced', async () => {
  const clock = new FakeClock();
  const { done, process } = processOf();
  // (where nothing is announced nobody is told, and the rest is done)
  const mantua = { modules: { announcements: false } };
  const hosts = { 'verona.test': {}, 'mantua.test': mantua };
  const { person } = await start({ hosts, admins: ['romeo@verona.test'] }, { process, clock });
  const romeo = await person('romeo@verona.test', 'admin');
  const juliet = await person('juliet@verona.test');
  const asked = await romeo.run(`${ADMIN}#shutdown`);
  expect(asked).toMatchObject({ status: 'executing', values: { delay: [], announcement: [] } });
  const fields = { delay: '60', announcement: ['We go down', 'in a minute'] };
  expect(await romeo.run(`${ADMIN}#shutdown`, { session: asked.session, fields })).toMatchObject({
    status: 'completed',
  });
  const heard = await juliet.client.next();
  expect(heard?.kind === 'element' && heard.element.getChildText('body')).toBe('We go down\nin a minute');
  await clock.advance(59_000);
  expect(done).toEqual([]);
  await clock.advance(1_000);
  await expect.poll(() => done).toEqual(['stop']);
  expect(await romeo.run(`${ADMIN}#restart`, { fields: { delay: '30' } })).toMatchObject({ status: 'completed' });
  await clock.advance(30_000);
  await expect.poll(() => done).toEqual(['stop', 'restart']);
  // what is no delay of the form is none
  expect((await romeo.run(`${ADMIN}#shutdown`, { fields: { delay: '1' } })).refused).toContain('bad-payload');
});

test('ten thousand users are listed in pages', async () => {
  const { person, server } = await start({ hosts: { 'verona.test': {} } });
  const romeo = await person('romeo@verona.test', 'admin');
  const { accounts } = server.hosts.get('verona.test')!;
  const key = { salt: '', iterations: 1, storedKey: '', serverKey: '' };
  for (let i = 0; i < 10_000; i++) {
    await accounts.createWithKeys(`user${String(i).padStart(5, '0')}`, { 'sha-256': key });
  }
  expect((await romeo.run(`${ADMIN}#get-registered-users-num`)).values.registeredusersnum).toEqual(['10001']);
  const seen: string[] = [];
  let pages = 0;
  for (let after: string | undefined; ; pages++) {
    const page = await romeo.run(`${ADMIN}#get-registered-users-list`, {
      fields: { max_items: 'none', ...(after === undefined ? {} : { after }) },
    });
    const jids = page.values.registereduserjids ?? [];
    seen.push(...jids);
    after = jids.at(-1);
    if (page.notes.length === 0) break;
    expect(page.notes).toEqual([['warn', `There are more, after ${after}.`]]);
  }
  expect(pages).toBe(2);
  expect(new Set(seen).size).toBe(10_001);
  const few = await romeo.run(`${ADMIN}#get-registered-users-list`, { fields: { max_items: '25' } });
  expect(few.values.registereduserjids).toHaveLength(25);
}, 60_000);
