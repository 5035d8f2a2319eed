// What the Snikket web portal asks, page by page, in the order in which it asks it.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Server } from '../../../../src/server.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { Portal } from '../../../kit/portal.ts';
import { startServer } from '../../../kit/test-server.ts';

const domain = 'one.test';
const me = `romeo@${domain}`;
let server: Server;
let base: string;
let admin: Portal;
let member: Portal;

beforeAll(async () => {
  server = await startServer({
    hosts: { [domain]: { admins: [me] }, 'two.test': {} },
    registration: 'invite',
    listen: { http: 0 },
    s2s: { enabled: false },
  });
  base = `http://127.0.0.1:${server.address('http')!.port}`;
  const { accounts } = server.hosts.get(domain)!;
  await accounts.create('romeo', 'wherefore art thou');
  await accounts.create('juliet', 'a rose by any name');
  admin = new Portal(base, domain);
  member = new Portal(base, domain);
  await admin.login('romeo', 'wherefore art thou');
  await member.login('juliet', 'a rose by any name');
});
afterAll(() => server.stop());

const picture = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const hash = createHash('sha1').update(picture).digest('hex');
const nickGet = `<iq id="1" type="get" to="${me}"><pubsub xmlns="${NS.pubsub}"><items node="${NS.nick}" max_items="1"/></pubsub></iq>`;

describe('logging in', () => {
  test('the portal registers, and lets people in by their passwords', async () => {
    const portal = new Portal(base, domain);
    const registered = await portal.register();
    expect(registered.status).toBe(201);
    expect(registered.json).toMatchObject({ client_id: expect.any(String), client_secret: expect.any(String) });
    const { status, json } = await portal.login('romeo', 'wherefore art thou');
    expect(status).toBe(200);
    expect(json).toMatchObject({ token_type: 'bearer', scope: 'prosody:admin', expires_in: 86_400 });
    expect((await portal.ping(me)).status).toBe(200);
  });

  test('the scope tells the role', async () => {
    expect(admin.scopes).toEqual(['prosody:admin']);
    expect(member.scopes).toEqual(['prosody:registered']);
  });

  test('a wrong password is told as such', async () => {
    const { status, json } = await new Portal(base, domain).login('romeo', 'no');
    expect([status, json.error]).toEqual([401, 'invalid_grant']);
    expect((await new Portal(base, domain).login('nobody', 'no')).json.error).toBe('invalid_grant');
  });

  test('whoever logs out is out', async () => {
    const portal = new Portal(base, domain);
    await portal.login('juliet', 'a rose by any name');
    expect((await portal.logout()).status).toBe(200);
    expect((await portal.ping(`juliet@${domain}`)).status).toBe(401);
  });

  test('the host that a token is of answers, whichever was named; another one knows nobody of it', async () => {
    const elsewhere = new Portal(base, 'two.test');
    expect((await elsewhere.login('romeo', 'wherefore art thou')).json.error).toBe('invalid_grant');
    elsewhere.token = admin.token;
    expect((await elsewhere.ping(me)).status).toBe(200);
    expect((await elsewhere.get('/admin_api/users/romeo')).status).toBe(200);
    elsewhere.token = undefined;
    expect((await elsewhere.get('/admin_api/users')).status).toBe(401);
  });
});

describe('the home page and the profile', () => {
  test('the version of the server is asked in JSON', async () => {
    const { json } = await admin.send('POST', '/rest', { json: { kind: 'iq', type: 'get', version: {}, to: domain } });
    expect(json.version).toMatchObject({ name: 'Parley', version: expect.any(String) });
  });

  test('a name that there is not yet is an error in the stanza, and no error of HTTP', async () => {
    const { status, stanza } = await admin.iq(nickGet);
    expect(status).toBe(200);
    expect(stanza!.attrs).toMatchObject({ type: 'error', id: '1' });
    // the portal looks for it without a namespace
    expect(stanza!.toXml()).not.toMatch(/^<iq[^>]*xmlns/);
    expect(stanza!.getChild('error')!.getChild('item-not-found', NS.stanzas)).toBeDefined();
  });

  test('a name and a picture are published, and found again', async () => {
    const publish = (node: string, item: string): string =>
      `<iq id="2" type="set" to="${me}"><pubsub xmlns="${NS.pubsub}"><publish node="${node}">${item}</publish></pubsub></iq>`;
    const nick = await admin.iq(publish(NS.nick, `<item><nick xmlns="${NS.nick}">Romeo M.</nick></item>`));
    expect(nick.stanza!.attrs.type).toBe('result');
    const shown = await admin.iq(nickGet);
    expect(shown.stanza!.toXml()).toContain('Romeo M.');
    const data = `<item id="${hash}"><data xmlns="urn:xmpp:avatar:data">${picture.toString('base64')}</data></item>`;
    expect((await admin.iq(publish('urn:xmpp:avatar:data', data))).stanza!.attrs.type).toBe('result');
    const info = `<item id="${hash}"><metadata xmlns="${NS.avatarMetadata}"><info id="${hash}" bytes="${picture.length}" type="image/png"/></metadata></item>`;
    expect((await admin.iq(publish(NS.avatarMetadata, info))).stanza!.attrs.type).toBe('result');
  });

  test('who may see a profile is read and changed', async () => {
    const configure = (inner: string): string =>
      `<iq id="3" type="${inner === '' ? 'get' : 'set'}" to="${me}"><pubsub xmlns="${NS.pubsubOwner}"><configure node="${NS.nick}">${inner}</configure></pubsub></iq>`;
    const field = (name: string, value: string): string => `<field var="${name}"><value>${value}</value></field>`;
    const form = `<x xmlns="jabber:x:data" type="submit">${field('FORM_TYPE', 'http://jabber.org/protocol/pubsub#node_config')}${field('pubsub#access_model', 'presence')}</x>`;
    expect((await admin.iq(configure(form))).stanza!.attrs.type).toBe('result');
    const { stanza } = await admin.iq(configure(''));
    const model = stanza!
      .getChild('pubsub', NS.pubsubOwner)!
      .getChild('configure', NS.pubsubOwner)!
      .getChild('x', 'jabber:x:data')!
      .getChildren('field')
      .find(({ attrs }) => attrs.var === 'pubsub#access_model');
    expect(model!.getChildText('value')).toBe('presence');
  });

  test('a new password ends all other sessions, and the one that has set it holds on', async () => {
    const [other, portal] = [new Portal(base, domain), new Portal(base, domain)];
    const { accounts } = server.hosts.get(domain)!;
    await accounts.create('paris', 'the old password');
    await other.login('paris', 'the old password');
    await portal.login('paris', 'the old password');
    const xml = `<iq id="4" type="set" to="paris@${domain}"><query xmlns="${NS.register}"><username>paris</username><password>the new password</password></query></iq>`;
    expect((await portal.iq(xml)).stanza!.attrs.type).toBe('result');
    expect(await accounts.verifyPlain('paris', 'the new password')).toBe(true);
    expect((await portal.ping(`paris@${domain}`)).status).toBe(200);
    expect((await other.ping(`paris@${domain}`)).status).toBe(401);
  });
});

describe('stanzas', () => {
  test('nobody speaks for others', async () => {
    expect(
      (await member.iq(`<iq id="1" type="get" from="${me}" to="${domain}"><ping xmlns="${NS.ping}"/></iq>`)).status,
    ).toBe(403);
    const other = `<iq id="4" type="set" to="${me}"><query xmlns="${NS.register}"><username>romeo</username><password>x</password></query></iq>`;
    const { stanza } = await member.iq(other);
    expect(stanza!.attrs.type).toBe('error');
    expect(await server.hosts.get(domain)!.accounts.verifyPlain('romeo', 'wherefore art thou')).toBe(true);
  });

  test('what is none is refused', async () => {
    for (const xml of [
      '',
      '<iq',
      '<iq type="get" id="1"/><iq/>',
      '<foo xmlns="urn:foo"/>',
      '<presence/>',
      '<iq type="result" id="1"/>',
      `<iq type="get" id="1" to="@"><ping xmlns="${NS.ping}"/></iq>`,
    ]) {
      expect((await member.iq(xml)).status, xml).toBe(400);
    }
    expect((await member.send('POST', '/rest', { json: { kind: 'iq', type: 'set', vcard: {} } })).status).toBe(501);
    expect((await member.send('POST', '/rest', { form: { a: 'b' } })).status).toBe(415);
    expect((await member.send('POST', '/rest', { xml: `<message>${'x'.repeat(2 ** 21)}</message>` })).status).toBe(413);
  });

  test('a message is sent, and nothing comes back', async () => {
    const { status, text } = await member.send('POST', '/rest', {
      json: { kind: 'message', type: 'chat', to: me, body: 'hello' },
    });
    expect([status, text]).toEqual([202, '']);
  });
});

describe('administration', () => {
  test('is for administrators', async () => {
    for (const path of ['/users', '/users/romeo', '/invites', '/server/metrics']) {
      expect((await member.get(`/admin_api${path}`)).status, path).toBe(403);
      expect((await new Portal(base, domain).get(`/admin_api${path}`)).status, path).toBe(401);
    }
  });

  test('the list of users tells what the portal shows of them', async () => {
    const { status, json } = await admin.get('/admin_api/users');
    expect(status).toBe(200);
    const romeo = json.find(({ username }: { username: string }) => username === 'romeo');
    expect(romeo).toMatchObject({
      jid: me,
      display_name: 'Romeo M.',
      role: 'prosody:admin',
      secondary_roles: [],
      enabled: true,
      avatar_info: [{ hash, bytes: picture.length, type: 'image/png' }],
    });
    expect((await admin.get('/admin_api/users/juliet')).json).toMatchObject({
      username: 'juliet',
      role: 'prosody:registered',
    });
  });

  test('a user that there is not is told in the form that the portal reads', async () => {
    const { status, json } = await admin.get('/admin_api/users/nobody');
    expect(status).toBe(404);
    expect(json).toEqual({
      type: 'error',
      code: 404,
      error: {
        type: 'cancel',
        condition: 'item-not-found',
        text: 'User not found',
        extra: { namespace: 'https://prosody.im/protocol/errors', condition: 'user-not-found' },
      },
    });
  });

  test('name, role and lock of a user are changed', async () => {
    const { accounts } = server.hosts.get(domain)!;
    await accounts.create('tybalt', 'prince of cats');
    const put = (json: object) => admin.send('PUT', '/admin_api/users/tybalt', { json });
    expect((await put({ username: 'tybalt', display_name: 'Tybalt', role: 'prosody:restricted' })).status).toBe(200);
    expect((await admin.get('/admin_api/users/tybalt')).json).toMatchObject({
      display_name: 'Tybalt',
      role: 'prosody:restricted',
    });
    expect(await accounts.roleOf('tybalt')).toBe('limited');
    const tybalt = new Portal(base, domain);
    await tybalt.login('tybalt', 'prince of cats');
    expect(tybalt.scopes).toEqual(['prosody:restricted']);
    const patch = (json: object) => admin.send('PATCH', '/admin_api/users/tybalt', { json });
    expect((await patch({ enabled: false })).status).toBe(200);
    expect((await admin.get('/admin_api/users/tybalt')).json.enabled).toBe(false);
    // nobody is in by a token of a locked account
    expect((await tybalt.ping(`tybalt@${domain}`)).status).toBe(401);
    expect((await patch({ enabled: true })).status).toBe(200);
    expect((await put({ username: 'other' })).status).toBe(400);
    expect((await put({ role: 'prosody:nobody' })).status).toBe(400);
    expect((await patch({ shoe_size: 43 })).status).toBe(501);
    expect((await admin.get('/admin_api/users/tybalt/debug')).json).toMatchObject({
      sessions: [],
      omemo: { devices: [] },
    });
    expect((await admin.send('DELETE', '/admin_api/users/tybalt', {})).status).toBe(200);
    expect((await admin.get('/admin_api/users/tybalt')).status).toBe(404);
  });

  test('who is no admin any more administers no more, by the same token', async () => {
    const { accounts } = server.hosts.get(domain)!;
    await accounts.create('mercutio', 'queen mab', 'admin');
    const portal = new Portal(base, domain);
    await portal.login('mercutio', 'queen mab');
    expect((await portal.get('/admin_api/users')).status).toBe(200);
    await accounts.setRole('mercutio', 'member');
    expect((await portal.get('/admin_api/users')).status).toBe(403);
    await accounts.remove('mercutio');
    expect((await portal.get('/admin_api/users')).status).toBe(401);
  });

  test('the page of the system has its figures', async () => {
    const { json } = await admin.get('/admin_api/server/metrics');
    expect(json).toMatchObject({
      memory: expect.any(Number),
      cpu: { since: expect.any(Number), value: expect.any(Number) },
      c2s: 0,
    });
    expect((await admin.get('/admin_api/server/info')).json).toMatchObject({
      site_name: domain,
      version: expect.any(String),
    });
  });
});

describe('invitations', () => {
  const anybody = (): Portal => new Portal(base, domain);

  test('one is made, looked at, and becomes an account', async () => {
    const made = await admin.send('POST', '/admin_api/invites/account', {
      // (the portal's form has it as text)
      json: { groups: [], roles: ['prosody:restricted'], ttl: '3600', note: 'for Benvolio' },
    });
    expect(made.status).toBe(200);
    expect(made.json).toMatchObject({
      type: 'register',
      jid: domain,
      reusable: false,
      groups: [],
      roles: ['prosody:restricted'],
      reset: false,
      note: 'for Benvolio',
      source: `${me}/admin_api`,
    });
    expect(made.json.expires - made.json.created_at).toBe(3600);
    const { id } = made.json;
    const list = (await admin.get('/admin_api/invites')).json;
    expect(list.map((one: { id: string }) => one.id)).toContain(id);
    const looked = await anybody().get(`/register_api/invite/${id}`);
    expect(looked.json).toMatchObject({ domain, type: 'register', jid: domain, uri: made.json.uri });
    expect(looked.json.reset).toBeUndefined();
    const register = (username: string) =>
      anybody().send('POST', '/register_api/register', {
        json: { username, password: 'benvolio benvolio', token: id },
      });
    expect((await register('romeo')).status).toBe(409);
    expect((await register('not a name@')).status).toBe(400);
    const done = await register('Benvolio');
    expect([done.status, done.json]).toEqual([200, { jid: `benvolio@${domain}` }]);
    expect((await register('again')).status).toBe(404);
    expect((await anybody().get(`/register_api/invite/${id}`)).status).toBe(404);
    const portal = new Portal(base, domain);
    await portal.login('benvolio', 'benvolio benvolio');
    expect(portal.scopes).toEqual(['prosody:restricted']);
  });

  test('a password is set anew by a link', async () => {
    await server.hosts.get(domain)!.accounts.create('rosaline', 'forgotten password');
    const made = await admin.send('POST', '/admin_api/invites/reset', { json: { username: 'rosaline', ttl: 86_400 } });
    expect(made.json).toMatchObject({ reset: true, jid: `rosaline@${domain}` });
    const looked = await anybody().get(`/register_api/invite/${made.json.id}`);
    expect(looked.json.reset).toBe('rosaline');
    const register = (username: string) =>
      anybody().send('POST', '/register_api/register', {
        json: { username, password: 'another password', token: made.json.id },
      });
    expect((await register('romeo')).status).toBe(403);
    expect((await register('rosaline')).json).toEqual({ jid: `rosaline@${domain}` });
    expect((await admin.send('POST', '/admin_api/invites/reset', { json: { username: 'nobody' } })).status).toBe(404);
  });

  test('one for a group is for many, and one that was revoked for nobody', async () => {
    const made = await admin.send('POST', '/admin_api/invites/group', { json: { groups: [], roles: [], ttl: 3600 } });
    expect(made.json.reusable).toBe(true);
    expect((await anybody().send('DELETE', `/register_api/invite/${made.json.id}`, {})).status).toBe(403);
    expect((await admin.send('DELETE', `/admin_api/invites/${made.json.id}`, {})).status).toBe(200);
    expect((await admin.get(`/admin_api/invites/${made.json.id}`)).status).toBe(404);
    const single = await admin.send('POST', '/admin_api/invites/account', { json: {} });
    expect((await anybody().send('DELETE', `/register_api/invite/${single.json.id}`, {})).status).toBe(200);
    expect((await anybody().get(`/register_api/invite/${single.json.id}`)).status).toBe(404);
    expect((await admin.send('POST', '/admin_api/invites/other', { json: {} })).status).toBe(400);
  });
});

describe('circles', () => {
  test('are made, filled, given rooms, and removed', async () => {
    const made = await admin.send('POST', '/admin_api/groups', { json: { name: 'Capulets', create_muc: false } });
    expect(made.json).toEqual({ id: expect.any(String), name: 'Capulets', members: [], chats: [] });
    const path = `/admin_api/groups/${made.json.id}`;
    expect((await admin.send('PUT', `${path}/members/juliet`, {})).status).toBe(204);
    expect((await admin.send('PUT', path, { json: { name: 'House of Capulet' } })).status).toBe(204);
    const chat = await admin.send('POST', `${path}/chats`, { json: { name: 'The hall' } });
    expect(chat.json).toMatchObject({
      id: expect.any(String),
      jid: expect.stringContaining('@groups.'),
      name: 'The hall',
    });
    expect((await admin.get('/admin_api/groups')).json).toEqual([
      { id: made.json.id, name: 'House of Capulet', members: ['juliet'], chats: [chat.json] },
    ]);
    expect((await admin.get('/admin_api/users/juliet/groups')).json).toEqual([made.json.id]);
    const invite = await admin.send('POST', '/admin_api/invites/group', {
      json: { groups: [made.json.id], roles: [], ttl: 60 },
    });
    expect(invite.json.groups).toEqual([made.json.id]);
    expect((await admin.send('DELETE', `${path}/chats/${chat.json.id}`, {})).status).toBe(204);
    expect((await admin.send('DELETE', `${path}/members/juliet`, {})).status).toBe(204);
    expect((await admin.get(path)).json).toMatchObject({ members: [], chats: [] });
    expect((await admin.send('DELETE', path, {})).status).toBe(204);
    const gone = await admin.get(path);
    expect([gone.status, gone.json.error.extra.condition]).toEqual([404, 'group-not-found']);
    const nameless = await admin.send('POST', '/admin_api/groups', { json: { name: ' ' } });
    expect([nameless.status, nameless.json.error.extra.condition]).toEqual([400, 'group-name-required']);
    expect((await admin.send('PUT', `${path}/members/juliet`, {})).json.error.extra.condition).toBe('group-not-found');
  });
});

describe('announcements', () => {
  const announce = (recipients: unknown, body: unknown = 'Hear ye') =>
    admin.send('POST', '/admin_api/server/announcement', { json: { recipients, body } });

  test('are for who is connected, for everybody, or for who is named', async () => {
    expect((await announce('online')).status).toBe(201);
    expect((await announce('all')).status).toBe(201);
    expect(await (await server.admin.announcementsOf(domain))!.motd()).toBe('Hear ye');
    expect((await announce([me])).status).toBe(201);
  });

  test('that say nothing, or to others, are refused', async () => {
    for (const wrong of ['nobody', [], ['romeo@elsewhere.test'], [domain], undefined])
      expect((await announce(wrong)).status).toBe(400);
    expect((await announce('online', ' ')).status).toBe(400);
  });
});

describe('moving', () => {
  const put = (portal: Portal, xml: string) =>
    portal.send('PUT', '/xep227/import', { xml, headers: { 'content-type': 'application/xml' } });

  test('what somebody has is written without keys, and goes into another account', async () => {
    const { accounts } = server.hosts.get(domain)!;
    await accounts.create('abram', 'bite my thumb');
    const abram = new Portal(base, domain);
    await abram.login('abram', 'bite my thumb');
    const file = await admin.get('/xep227/export?stores=roster,vcard,pep,pep_data');
    expect(file.status).toBe(200);
    expect(file.text).toContain('Romeo M.');
    expect(file.text).not.toContain('scram');
    const keys = file.text.replace(
      "name='romeo'>",
      "name='romeo' password='mine now'><account xmlns='urn:parley:export' disabled='true'/>",
    );
    const done = await put(abram, keys);
    expect(done.status).toBe(200);
    expect(done.json.lines).toBeDefined();
    const nick = await abram.iq(nickGet.replace(me, `abram@${domain}`));
    expect(nick.stanza!.toXml()).toContain('Romeo M.');
    expect(await accounts.verifyPlain('abram', 'bite my thumb')).toBe(true);
    expect((await abram.ping(`abram@${domain}`)).status).toBe(200);
  });

  test('only what is asked for is written, and what is no such file is not read', async () => {
    expect((await admin.get('/xep227/export?stores=roster')).text).not.toContain('Romeo M.');
    for (const wrong of ['', '<x/>', "<server-data xmlns='urn:xmpp:pie:0'/>", '<server-data'])
      expect((await put(admin, wrong)).status).toBe(400);
    expect((await put(new Portal(base, domain), '<x/>')).status).toBe(401);
  });
});
