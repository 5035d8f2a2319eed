// Circles, by the commands of administrators and as their members find them.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminCommands } from '../../../../src/core/admin-commands.ts';
import { CommandError, runCommand } from '../../../../src/core/commands.ts';
import { invitations } from '../../../../src/modules/invitations/service.ts';
import { pep } from '../../../../src/modules/pep/service.ts';
import { roster } from '../../../../src/modules/roster/index.ts';
import type { Server } from '../../../../src/server.ts';
import { el } from '../../../../src/xml/element.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { type Iq, stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { startServer } from '../../../kit/test-server.ts';

const domain = 'one.test';
let server: Server;
const host = () => server.hosts.get(domain)!;

beforeAll(async () => {
  server = await startServer({
    hosts: { [domain]: {} },
    registration: 'invite',
    modules: { circles: { 'max-members': 4 } },
  });
  for (const user of ['romeo', 'juliet', 'nurse', 'paris']) await host().accounts.create(user, 'a password');
});
afterAll(() => server.stop());

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly members: readonly string[];
  readonly chats: readonly { readonly id: string; readonly jid: string; readonly name: string }[];
}
async function run<T = Shown>(name: string, args: object): Promise<T> {
  return (await runCommand(adminCommands.find((one) => one.name === name)!, server.admin, args)) as T;
}

const contact = async (user: string, other: string) => host().find(roster)!.get(user, Jid.of(other, domain).bare);
const bookmarks = async (user: string) =>
  (await host().find(pep)!.items(user, NS.bookmarks, { most: 100 })).map(({ id }) => id);
async function membersOf(room: string): Promise<readonly string[]> {
  const rooms = server.hosts.get(`groups.${domain}`)!;
  const to = Jid.of(room, rooms.domain);
  const query = el('query', NS.mucAdmin, undefined, el('item', NS.mucAdmin, { affiliation: 'member' }));
  const answer = await server.router.request(
    rooms,
    (id) => stanzaOf(el('iq', null, { type: 'get', id, from: rooms.domain, to: to.full }, query), rooms.jid, to) as Iq,
  );
  return (answer.payload?.getChildren('item') ?? []).map(({ attrs }) => attrs.jid!).sort();
}

test('members are each other’s contacts, in a group that is called as the circle is', async () => {
  const { id } = await run('circle create', { name: 'Verona' });
  await run('circle add', { id, jid: `romeo@${domain}` });
  await run('circle add', { id, jid: `juliet@${domain}` });
  const circle = await run('circle add', { id, jid: `nurse@${domain}` });
  expect(circle.members).toEqual([`juliet@${domain}`, `nurse@${domain}`, `romeo@${domain}`]);
  for (const [user, other] of [
    ['romeo', 'juliet'],
    ['juliet', 'romeo'],
    ['nurse', 'romeo'],
    ['juliet', 'nurse'],
  ] as const) {
    expect(await contact(user, other), `${user} has ${other}`).toMatchObject({
      subscription: 'both',
      groups: ['Verona'],
    });
  }
  expect(await contact('romeo', 'paris')).toBeUndefined();
  // again, nothing is there twice
  await run('circle add', { id, jid: `nurse@${domain}` });
  expect(await contact('romeo', 'nurse')).toMatchObject({ groups: ['Verona'] });
  await run('circle rm', { id });
  expect(await contact('romeo', 'juliet')).toMatchObject({ subscription: 'both' });
});

test('a name that somebody gave a contact stays, and groups of their own', async () => {
  const [romeo, paris] = [Jid.of('romeo', domain), Jid.of('paris', domain)];
  await host().find(roster)!.set(romeo, paris, 'the count', ['Rivals']);
  const { id } = await run('circle create', { name: 'Guests' });
  await run('circle add', { id, jid: romeo.bare });
  await run('circle add', { id, jid: paris.bare });
  expect(await contact('romeo', 'paris')).toMatchObject({ name: 'the count', groups: ['Rivals', 'Guests'] });
  await run('circle rm', { id });
});

test('rooms of a circle are for its members, who find them among their bookmarks', async () => {
  const { id } = await run('circle create', { name: 'Balcony' });
  await run('circle add', { id, jid: `romeo@${domain}` });
  const chat = await run<Shown['chats'][number]>('circle chat add', { id, name: 'At night' });
  expect(chat.jid).toBe(`${chat.id}@groups.${domain}`);
  const room = await run<{ settings: Record<string, string[]> }>('room show', { jid: chat.jid });
  expect(room.settings).toMatchObject({
    roomname: ['At night'],
    membersonly: ['1'],
    publicroom: ['0'],
    persistentroom: ['1'],
  });
  expect(await bookmarks('romeo')).toContain(chat.jid);
  await run('circle add', { id, jid: `juliet@${domain}` });
  expect(await bookmarks('juliet')).toContain(chat.jid);
  expect(await membersOf(chat.id)).toEqual([`juliet@${domain}`, `romeo@${domain}`]);
  await run('circle drop', { id, jid: `juliet@${domain}` });
  expect(await bookmarks('juliet')).not.toContain(chat.jid);
  expect(await contact('juliet', 'romeo')).toMatchObject({ subscription: 'both' });
  expect(await membersOf(chat.id)).toEqual([`romeo@${domain}`]);
  await run('circle chat rm', { id, chat: chat.id });
  expect(await bookmarks('romeo')).not.toContain(chat.jid);
  await expect(run('room show', { jid: chat.jid })).rejects.toThrow('no room');
  expect((await run('circle show', { id })).chats).toEqual([]);
  await run('circle rm', { id });
});

test('a circle goes with its rooms', async () => {
  const { id } = await run('circle create', { name: 'Mantua' });
  const chat = await run<Shown['chats'][number]>('circle chat add', { id, name: 'Exile' });
  await run('circle rm', { id });
  await expect(run('room show', { jid: chat.jid })).rejects.toThrow('no room');
  await expect(run('circle show', { id })).rejects.toThrow('no circle');
});

test('who is invited into a circle is in it with the account', async () => {
  const { id } = await run('circle create', { name: 'Friends' });
  await run('circle add', { id, jid: `romeo@${domain}` });
  const { token } = await run<{ token: string }>('invite', { host: domain, group: [id, 'nosuchcircle'] });
  await host().find(invitations)!.redeem({ token, user: 'benvolio', password: 'a good password' });
  expect((await run('circle show', { id })).members).toEqual([`benvolio@${domain}`, `romeo@${domain}`]);
  expect(await contact('benvolio', 'romeo')).toMatchObject({ subscription: 'both' });
  await host().accounts.remove('benvolio');
  expect((await run('circle show', { id })).members).toEqual([`romeo@${domain}`]);
  await run('circle rm', { id });
});

test('what there is not is refused, and what is too much', async () => {
  const { id } = await run('circle create', { name: 'Small' });
  const code = async (name: string, args: object): Promise<unknown> =>
    run(name, args).then(
      () => undefined,
      (error: unknown) => (error instanceof CommandError ? error.code : error),
    );
  expect(await code('circle add', { id, jid: `nobody@${domain}` })).toBe('not-found');
  expect(await code('circle add', { id: 'x', jid: `romeo@${domain}` })).toBe('not-found');
  expect(await code('circle add', { id, jid: 'romeo@elsewhere.test' })).toBe('bad-arguments');
  expect(await code('circle create', { name: 'x'.repeat(300) })).toBe('bad-arguments');
  expect(await code('circle ls', { host: 'elsewhere.test' })).toBe('not-found');
  expect(await code('circle chat rm', { id, chat: 'x' })).toBe('not-found');
  await host().accounts.create('tybalt', 'a password');
  for (const user of ['romeo', 'juliet', 'nurse', 'paris']) await run('circle add', { id, jid: `${user}@${domain}` });
  expect(await code('circle add', { id, jid: `tybalt@${domain}` })).toBe('refused');
});
