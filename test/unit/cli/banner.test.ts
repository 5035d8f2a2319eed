// The first screen, for somebody who has never seen one.
import { afterEach, expect, test } from 'vitest';
import { banner, type StartFacts, startFacts } from '../../../src/cli/banner.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import { invitations } from '../../../src/modules/invitations/service.ts';
import type { Server } from '../../../src/server.ts';
import { startServer, testConfig } from '../../kit/test-server.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function start(settings: ConfigInput): Promise<{ readonly server: Server; facts(): Promise<StartFacts> }> {
  const server = await startServer(settings);
  servers.push(server);
  return { server, facts: () => startFacts(server, testConfig(settings)) };
}

const screen = (facts: StartFacts, isTerminal = false): string =>
  banner(facts, {
    config: testConfig({ hosts: { localhost: {} } }),
    configOption: undefined,
    processes: 1,
    isTerminal,
  });
const usual: ConfigInput = { hosts: { localhost: {} }, listen: { http: 0 }, registration: 'invite' };

test('it says where the chat is, and by which link the first account is made: one that administers, once', async () => {
  const { server, facts } = await start(usual);
  const { port } = server.address('http')!;
  const text = screen(await facts());
  expect(text).toMatch(new RegExp(`^  chat +http://localhost:${port}/chat$`, 'm'));
  const [link] = new RegExp(`http://localhost:${port}/join/[a-z2-7]+`).exec(text) ?? [];
  const [made, ...more] = await server.hosts.get('localhost')!.find(invitations)!.list();
  expect(more).toEqual([]);
  expect(made).toMatchObject({ page: link, kind: 'account', role: 'admin', uses: 1, state: 'open' });
  expect(made!.expires - made!.created).toBe(24 * 3_600_000);
  expect(text).toContain('Or make accounts, in another terminal:\n    npx parley user add alice@localhost');
});

test('it shows the same link again as long as nobody has used it', async () => {
  const { facts } = await start(usual);
  const first = await facts();
  expect((await facts()).invitation).toBe(first.invitation);
});

test('it is plain where it is not drawn on a terminal, and has a code for cameras where it is', async () => {
  const { facts } = await start(usual);
  const told = await facts();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  expect(screen(told)).not.toMatch(/[\u001b█▄▀]/);
  expect(screen(told, true)).toMatch(/█.*\n/);
  expect(screen(told, true)).toContain(told.invitation);
});

test('it is quiet about links when there are accounts', async () => {
  const { server, facts } = await start(usual);
  await server.hosts.get('localhost')!.accounts.create('alice', 'secret');
  const text = screen(await facts(), true);
  expect(text).toContain('/chat');
  expect(text).not.toMatch(/join|first account|user add|█/);
  expect(await server.hosts.get('localhost')!.find(invitations)!.list()).toEqual([]);
});

test.each<[string, ConfigInput]>([
  ['invitations are switched off', { modules: { invitations: false } }],
  ['accounts are made by the operator alone', { registration: 'closed' }],
  ['nothing listens for browsers', { listen: { http: null } }],
])('it tells of the command line alone where %s', async (_why, more) => {
  const { server, facts } = await start({ ...usual, ...more });
  const text = screen(await facts());
  const known = (await server.hosts.get('localhost')!.find(invitations)?.list()) ?? [];
  expect(known.filter(({ state }) => state === 'open')).toEqual([]);
  expect(text).not.toContain('/join/');
  expect(text).toContain('Make the first account, in another terminal:\n    npx parley user add alice@localhost');
});

test('it does not tell of a chat that is switched off', async () => {
  const { facts } = await start({ ...usual, modules: { 'web-chat': false } });
  expect(screen(await facts())).not.toMatch(/^ {2}chat/m);
});
