// Invitations where nodes and the database fail: one use is one account, whichever nodes it is asked of, and whatever breaks in between.
import type { Element } from 'ltx';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { InvitationRefusal } from '../../src/core/invitations.ts';
import { type Invitations, invitations } from '../../src/modules/invitations/service.ts';
import type { Server } from '../../src/server.ts';
import { cached } from '../../src/storage/cached.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { StreamClient } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { logIn, openStream } from '../kit/login.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';
import { startServer } from '../kit/test-server.ts';

const domain = 'verona.test';
const password = 'a long password';
const MINUTE = 60_000;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);
afterAll(() => postgres?.remove());

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

let databases = 0;

/** Nodes that share nothing but a database. */
async function nodes(count: number, clock = new FakeClock()): Promise<readonly Server[]> {
  const connection = await postgres.database(`invitations${++databases}`);
  const started: Server[] = [];
  for (let i = 0; i < count; i++) {
    const driver: Driver = cached(createPostgresDriver({ connection, patience: 1000, timeout: 1000 }), {});
    cleanups.push(() => driver.close());
    const server = await startServer({ hosts: { [domain]: {} }, registration: 'invite' }, { driver, clock });
    cleanups.push(() => server.stop());
    started.push(server);
  }
  return started;
}
async function alone(): Promise<Server> {
  const server = await startServer({ hosts: { [domain]: {} }, registration: 'invite' });
  cleanups.push(() => server.stop());
  return server;
}

const hostOf = (server: Server) => server.hosts.get(domain)!;
const serviceOf = (server: Server): Invitations => hostOf(server).find(invitations)!;
const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof InvitationRefusal ? error.problem : 'failed'),
  );

test('three nodes on one database make one account of a link that many open at once', async () => {
  const servers = await nodes(3);
  const { token } = await serviceOf(servers[0]!).create({ kind: 'account' });
  const names = Array.from({ length: 12 }, (_, i) => `guest${i}`);
  const outcomes = await Promise.all(
    names.map((user, i) => outcome(serviceOf(servers[i % 3]!).redeem({ token, user, password }))),
  );
  expect(outcomes.filter((one) => one === 'done')).toHaveLength(1);
  expect(await hostOf(servers[0]!).accounts.list()).toHaveLength(1);
  const states = await Promise.all(servers.map(async (server) => (await serviceOf(server).show(token))?.state));
  expect(states).toEqual(['used', 'used', 'used']);
});

test('of a link for five there are five, and of a name for two links one', async () => {
  const servers = await nodes(2);
  const { token } = await serviceOf(servers[0]!).create({ kind: 'account', uses: 5 });
  const names = Array.from({ length: 9 }, (_, i) => `guest${i}`);
  await Promise.all(names.map((user, i) => outcome(serviceOf(servers[i % 2]!).redeem({ token, user, password }))));
  expect(await hostOf(servers[0]!).accounts.list()).toHaveLength(5);
  const links = await Promise.all(servers.map((server) => serviceOf(server).create({ kind: 'account' })));
  const outcomes = await Promise.all(
    links.map((link, i) => outcome(serviceOf(servers[i]!).redeem({ token: link.token, user: 'juliet', password }))),
  );
  expect(outcomes.sort()).toEqual(['done', 'taken']);
  const states = await Promise.all(links.map(async (link) => (await serviceOf(servers[0]!).show(link.token))?.state));
  expect(states.sort()).toEqual(['open', 'used']);
});

test('a database that goes away while an account is made leaves one account or none, and says which in the end', async () => {
  const clock = new FakeClock();
  const [one, other] = await nodes(2, clock);
  const links = await Promise.all(Array.from({ length: 6 }, () => serviceOf(one!).create({ kind: 'account' })));
  const began = links.map(({ token }, i) => outcome(serviceOf(one!).redeem({ token, user: `guest${i}`, password })));
  await postgres.stop('kill');
  await Promise.all(began);
  await postgres.start();
  await clock.advance(2 * MINUTE);
  // whoever comes next finds out, on whichever node
  await expect.poll(() => outcome(serviceOf(other!).open(links[0]!.token)), { timeout: 20_000 }).not.toBe('failed');
  for (const [i, { token }] of links.entries()) {
    const isThere = await hostOf(other!).accounts.exists(`guest${i}`);
    expect(await outcome(serviceOf(other!).open(token))).toBe(isThere ? 'used' : 'done');
    const again = await outcome(serviceOf(other!).redeem({ token, user: `again${i}`, password }));
    expect(again).toBe(isThere ? 'used' : 'done');
  }
  expect(await hostOf(other!).accounts.list()).toHaveLength(links.length);
}, 60_000);

test('a new password ends all sessions, and the tokens of clients hold no more', async () => {
  const server = await alone();
  const { accounts } = hostOf(server);
  await accounts.create('romeo', 'secret');
  const address = server.address('c2s')!;
  const { client } = await logIn(address, { domain, user: 'romeo', password: 'secret' });
  cleanups.push(() => client.destroy());
  const { epoch } = (await accounts.facts('romeo'))!;
  const { token } = await serviceOf(server).create({ kind: 'reset', user: 'romeo' });
  await serviceOf(server).redeem({ token, password });
  const last = (await client.next()) as { readonly element: Element };
  expect(String(last.element)).toMatch(/^<stream:error><reset/);
  await expect(logIn(address, { domain, user: 'romeo', password: 'secret' })).rejects.toThrow('not-authorized');
  const { client: again } = await logIn(address, { domain, user: 'romeo', password });
  await again.destroy();
  // what FAST tokens are good for (XEP-0484)
  expect(await accounts.isCurrent('romeo', epoch)).toBe(false);
});

test('a new password is chosen in an app, too', async () => {
  const server = await alone();
  await hostOf(server).accounts.create('romeo', 'secret');
  const { token } = await serviceOf(server).create({ kind: 'reset', user: 'romeo' });
  const client = await StreamClient.connect(server.address('c2s')!, {});
  cleanups.push(() => client.destroy());
  await openStream(client, domain);
  const ask = async (xml: string): Promise<string> => {
    client.write(xml);
    return String(((await client.next()) as { readonly element: Element }).element);
  };
  expect(await ask(`<iq type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='${token}'/></iq>`)).toContain(
    'type="result"',
  );
  expect(await ask(`<iq type='get' id='2'><query xmlns='jabber:iq:register'/></iq>`)).toContain(
    '<username>romeo</username>',
  );
  const form = (user: string): string =>
    `<iq type='set' id='3'><query xmlns='jabber:iq:register'><username>${user}</username><password>${password}</password></query></iq>`;
  expect(await ask(form('juliet'))).toContain('not-allowed');
  expect(await ask(form('romeo'))).toContain('type="result"');
  expect(await hostOf(server).accounts.verifyPlain('romeo', password)).toBe(true);
});

test('whoever tries tokens on a stream has to wait', async () => {
  const server = await alone();
  const { token } = await serviceOf(server).create({ kind: 'account' });
  const client = await StreamClient.connect(server.address('c2s')!, {});
  cleanups.push(() => client.destroy());
  await openStream(client, domain);
  const present = async (what: string): Promise<string> => {
    client.write(`<iq type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='${what}'/></iq>`);
    const text = String(((await client.next()) as { readonly element: Element }).element);
    return /item-not-found|resource-constraint|result/.exec(text)![0];
  };
  const tried = new Set<string>();
  for (let i = 0; i < 40; i++) tried.add(await present('abcdefghijklmnopqrstuvwxyz'[i % 26]!.repeat(24)));
  expect([...tried]).toEqual(['item-not-found', 'resource-constraint']);
  expect(await present(token)).toBe('resource-constraint');
});
