// The identity of a workspace as operators set it and clients see it, on one node and on two.
import { afterEach, describe, expect, test } from 'vitest';
import { adminContext } from '../../src/admin.ts';
import { adminCommands } from '../../src/core/admin-commands.ts';
import { type AdminContext, runCommand } from '../../src/core/commands.ts';
import type { Server } from '../../src/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { el } from '../../src/xml/element.ts';
import { capsVer } from '../../src/xmpp/caps.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { PATIENCE, type StreamClient } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { createNodes } from '../kit/cluster-pair.ts';
import { logIn } from '../kit/login.ts';
import { startServer } from '../kit/test-server.ts';

const domain = 'verona.test';
const workspace = `prose-workspace@${domain}`;
const icon = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface World {
  readonly servers: readonly Server[];
  readonly admin: AdminContext;
}

async function start(nodes: number): Promise<World> {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const settings = { hosts: { [domain]: {} } };
  const servers: Server[] = [];
  const clusters = nodes === 1 ? [undefined] : createNodes().clusters;
  for (const cluster of clusters)
    servers.push(await startServer(settings, { clock, driver, ...(cluster && { cluster }) }));
  cleanups.push(() => Promise.all(servers.map((server) => server.stop())));
  const nothing = async () => ({ applied: [], restart: [] });
  const admin = adminContext(servers[0]!, { reload: nothing, stop() {}, logLevel() {}, errors: () => [] });
  for (const user of ['romeo', 'juliet']) await servers[0]!.hosts.get(domain)!.accounts.create(user, 'secret');
  return { servers, admin };
}

async function run(admin: AdminContext, name: string, args: object): Promise<string> {
  const command = adminCommands.find((one) => one.name === name)!;
  return command.render(await runCommand(command, admin, args));
}

async function connect(server: Server, user: string): Promise<StreamClient> {
  const { client } = await logIn(server.address('c2s')!, { domain, user, password: 'secret', resource: 'x' });
  cleanups.push(() => client.destroy());
  return client;
}

/** What comes until something of that kind does; questions about capabilities are answered. */
async function until(client: StreamClient, isIt: (xml: string) => boolean, caps = ''): Promise<string> {
  for (;;) {
    const item = await client.next();
    if (item?.kind !== 'element') throw new Error('it did not come');
    const { element } = item;
    if (element.attrs.type === 'get' && caps !== '') {
      client.write(`<iq type='result' id='${element.attrs.id}' to='${element.attrs.from}'>${caps}</iq>`);
    }
    const xml = element.toString();
    if (isIt(xml)) return xml;
  }
}

async function ask(client: StreamClient, id: string, to: string, payload: string): Promise<string> {
  client.write(`<iq type='get' id='${id}' to='${to}'>${payload}</iq>`);
  return until(client, (xml) => xml.includes(`id="${id}"`));
}

/** Available, and interested in profiles. */
function appear(client: StreamClient): string {
  const query = el(
    'query',
    NS.discoInfo,
    undefined,
    el('identity', NS.discoInfo, { category: 'client', type: 'web' }),
    el('feature', NS.discoInfo, { var: NS.discoInfo }),
    el('feature', NS.discoInfo, { var: `${NS.vcard4Xml}+notify` }),
  );
  const c = el('c', NS.caps, { hash: 'sha-1', node: 'urn:example', ver: capsVer(query)! });
  client.write("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
  client.write(el('presence', null, undefined, c).toXml());
  return query.toXml();
}

const rosterQuery = "<query xmlns='jabber:iq:roster'/>";

describe.each([1, 2])('on %i nodes', (nodes) => {
  test('members are told of the name, the colour and the icon, whenever they come', async () => {
    const { servers, admin } = await start(nodes);
    const romeo = await connect(servers.at(-1)!, 'romeo');
    const caps = appear(romeo);
    await until(romeo, (xml) => xml.includes('id="roster"'), caps);
    const isProfile = (xml: string): boolean => xml.startsWith('<message') && xml.includes(`from="${workspace}"`);
    const shown = await run(admin, 'workspace set', { name: 'Montague & Co.', color: '#1972f5', icon });
    expect(shown).toMatch(/^name +Montague & Co\.$/m);
    expect(shown).toMatch(/^icon +image\/png, \d+ bytes$/m);
    const told = await until(romeo, isProfile, caps);
    expect(told).toContain(`<items node="${NS.vcard4Xml}">`);
    expect(told).toContain('<kind><text>application</text></kind>');
    expect(told).toContain('<fn><text>Montague &amp; Co.</text></fn>');
    expect(told).toContain('<x-accent-color><text>#1972f5</text></x-accent-color>');
    const isFriend = /<item jid="prose-workspace@verona\.test" subscription="both"/;
    await expect.poll(() => ask(romeo, 'r', `romeo@${domain}`, rosterQuery), { timeout: PATIENCE }).toMatch(isFriend);
    const metadata = `<pubsub xmlns='${NS.pubsub}'><items node='${NS.avatarMetadata}'/></pubsub>`;
    expect(await ask(romeo, 'a', workspace, metadata)).toContain('type="image/png"');
    // who comes later hears it, too
    const juliet = await connect(servers[0]!, 'juliet');
    const hers = appear(juliet);
    expect(await until(juliet, isProfile, hers)).toContain('Montague');
    expect(await ask(juliet, 'r', `juliet@${domain}`, rosterQuery)).toContain(workspace);
    // a change leaves the rest as it is
    await run(admin, 'workspace set', { domain, color: '#000000', icon: '' });
    const changed = await until(romeo, (xml) => isProfile(xml) && xml.includes('#000000'), caps);
    expect(changed).toContain('Montague');
    expect(await run(admin, 'workspace show', {})).toMatch(/^icon +none$/m);
  });

  test('the domain has a vCard of it', async () => {
    const { servers, admin } = await start(nodes);
    const romeo = await connect(servers.at(-1)!, 'romeo');
    expect(await ask(romeo, '1', domain, "<vCard xmlns='vcard-temp'/>")).toContain('item-not-found');
    expect(await ask(romeo, '2', domain, `<vcard xmlns='${NS.vcard4Xml}'/>`)).toContain('item-not-found');
    await run(admin, 'workspace set', { name: 'Verona', icon });
    const card = await ask(romeo, '3', domain, "<vCard xmlns='vcard-temp'/>");
    expect(card).toContain('<FN>Verona</FN>');
    expect(card).toContain(`<BINVAL>${icon}</BINVAL>`);
    expect(await ask(romeo, '4', domain, `<vcard xmlns='${NS.vcard4Xml}'/>`)).toContain('<text>Verona</text>');
  });
});

test('nobody can log in as the workspace, and no account that is somebody’s becomes it', async () => {
  const { servers, admin } = await start(1);
  const { accounts } = servers[0]!.hosts.get(domain)!;
  await accounts.create('prose-workspace', 'mine');
  const code = (args: object) => run(admin, 'workspace set', args).then(String, ({ code: is }) => is);
  expect(await code({ name: 'Verona' })).toBe('refused');
  await accounts.remove('prose-workspace');
  expect(await code({ name: 'Verona' })).toContain('Verona');
  expect((await accounts.facts('prose-workspace'))?.isDisabled).toBe(true);
});

test('what cannot be is refused, and has made nothing', async () => {
  const { servers, admin } = await start(1);
  const code = (name: string, args: object) =>
    run(admin, name, args).then(
      () => 'ok',
      (error) => error.code,
    );
  expect(await code('workspace show', {})).toBe('not-found');
  expect(await code('workspace show', { domain: 'nowhere.test' })).toBe('not-found');
  expect(await code('workspace set', {})).toBe('bad-arguments');
  expect(await code('workspace set', { name: ' ' })).toBe('bad-arguments');
  expect(await code('workspace set', { color: 'red' })).toBe('bad-arguments');
  expect(await code('workspace set', { icon: 'not base64' })).toBe('refused');
  expect(await code('workspace set', { icon: 'A'.repeat(300_000) })).toBe('refused');
  expect(await servers[0]!.hosts.get(domain)!.accounts.exists('prose-workspace')).toBe(false);
  expect(await code('workspace set', { domain, name: 'Verona' })).toBe('ok');
});
