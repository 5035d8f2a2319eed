// Parley among servers that others wrote: Prosody and ejabberd of Debian's packages, with dnsmasq to find each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { selfSigned, TestAuthority, type TestCertificate } from '../kit/certificates.ts';
import { ChildServer, passwordOf } from '../kit/child-server.ts';
import type { StreamClient } from '../kit/client.ts';
import { enter, federating } from '../kit/federation.ts';
import { logIn } from '../kit/login.ts';
import { Ejabberd, freePort, NameServerProgram, type PeerServer, Prosody } from '../kit/peers.ts';
import { told } from '../kit/server-peer.ts';
import { mergeSettings, TestServer } from '../kit/test-server.ts';

const DAY = 24 * 60 * 60_000;
/** How long a stanza may take that first makes a connection, in milliseconds. */
const PATIENCE = 15_000;

const authority = new TestAuthority('Everybody trusts me');
const stranger = new TestAuthority('Nobody knows me');
const kinds = [
  ['Prosody', Prosody],
  ['ejabberd', Ejabberd],
] as const;

type Person = Awaited<ReturnType<typeof enter>>;

const heard = async (client: StreamClient): Promise<string> => told(await client.next(PATIENCE));

/** The next thing that came and is of interest. */
async function find(client: StreamClient, wanted: RegExp): Promise<string> {
  const seen: string[] = [];
  for (let i = 0; i < 30; i++) {
    const text = await heard(client);
    if (wanted.test(text)) return text;
    if (text === 'nothing') break;
    seen.push(text);
  }
  throw new Error(`${wanted} did not come, but this:\n${seen.join('\n')}`);
}

/** Of the messages that came. */
function idsOf({ inbox }: StreamClient): readonly string[] {
  return inbox.map((item) => /^<message .*?id="(k\d+)"/.exec(told(item))?.[1]).filter((id) => id !== undefined);
}

async function talk(from: Person, to: Person, body: string): Promise<void> {
  from.client.write(`<message to='${to.jid}' type='chat'><body>${body}</body></message>`);
  expect(await find(to.client, /<body>/)).toContain(body);
}

async function freePorts(count: 5): Promise<readonly [number, number, number, number, number]> {
  return Promise.all(Array.from({ length: count }, freePort)) as Promise<[number, number, number, number, number]>;
}

/** Parley with several domains, a peer with one, and a name server that knows them all. */
class Scene implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'parley federation '));
  names!: NameServerProgram;
  peer!: PeerServer;
  server!: TestServer;
  /** Of killed.example, which is there when a test starts it. */
  childPort = 0;
  /** Accepts, and never says a word. */
  private readonly mute: Server = createServer((socket) => socket.on('error', () => {}));

  static async start(
    Kind: typeof Prosody | typeof Ejabberd,
    remote: string,
    options: { readonly certificate?: TestCertificate; readonly isStrict?: boolean } = {},
  ): Promise<Scene> {
    const scene = new Scene();
    try {
      await scene.prepare(Kind, remote, options);
    } catch (error) {
      await scene[Symbol.asyncDispose]();
      throw error;
    }
    return scene;
  }

  private async prepare(
    Kind: typeof Prosody | typeof Ejabberd,
    remote: string,
    options: { readonly certificate?: TestCertificate; readonly isStrict?: boolean },
  ): Promise<void> {
    const [ours, theirs, dead, child, mute] = await freePorts(5);
    this.childPort = child;
    this.mute.listen(mute, '127.0.0.1');
    this.names = await NameServerProgram.start([
      // the first machine is dead, in both directions
      { domain: 'parley.example', port: dead, priority: 1 },
      { domain: 'parley.example', port: ours, priority: 2 },
      { domain: 'groups.parley.example', port: ours },
      { domain: 'strict.example', port: ours },
      { domain: 'local.example', port: ours },
      { domain: 'killed.example', port: child },
      { domain: 'mute.example', port: mute },
      { domain: remote, port: dead, priority: 1 },
      { domain: remote, port: theirs, priority: 2 },
      { domain: `rooms.${remote}`, port: theirs },
    ]);
    this.peer = new Kind({
      domain: remote,
      certificate: options.certificate ?? authority.issue({ names: [remote, `*.${remote}`] }),
      ca: authority.certificate,
      dnsPort: this.names.port,
      s2sPort: theirs,
      ...(options.isStrict === undefined ? {} : { isStrict: options.isStrict }),
    });
    const certificates = mkdtempSync(join(this.folder, 'certs '));
    writeFileSync(join(this.folder, 'ca.pem'), authority.certificate);
    // "local" gets one that the server signs itself
    for (const domain of ['parley.example', 'strict.example']) {
      const { certificate, key } = authority.issue({ names: [domain, `groups.${domain}`] });
      writeFileSync(join(certificates, `${domain}.pem`), `${certificate}\n${key}`);
    }
    this.server = await TestServer.start(
      mergeSettings(federating('parley.example'), {
        hosts: {
          'local.example': { s2s: { 'queue-time': '5s' } },
          'strict.example': { s2s: { 'require-valid-certificates': true } },
        },
        tls: { certificates, ca: join(this.folder, 'ca.pem') },
        dns: { servers: [`127.0.0.1:${this.names.port}`] },
        listen: { s2s: ours },
      }),
    );
    await this.peer.start();
  }

  proofOf(host: string): readonly string[] {
    const streams = this.server.server.federation().filter((stream) => stream.host === host && stream.state === 'open');
    return [...new Set(streams.map(({ proof }) => String(proof).replace('external', 'certificate')))];
  }

  /** What the peer said of itself, for failures. */
  async explained<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const log = this.peer.log().split('\n').slice(-80).join('\n');
      throw new Error(`${error instanceof Error ? error.message : error}\n--- ${this.peer.name}\n${log}`, {
        cause: error,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server?.stop();
    await this.peer?.[Symbol.asyncDispose]();
    await this.names?.[Symbol.asyncDispose]();
    this.mute.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe.each(kinds)('with %s', (name, Kind) => {
  const remote = `${name.toLowerCase()}.example`;
  let scene: Scene;
  let romeo: Person;
  let juliet: Person;

  beforeAll(async () => {
    scene = await Scene.start(Kind, remote);
    romeo = await enter(scene.server, 'romeo@parley.example');
    juliet = await scene.peer.enter('juliet', 'balcony');
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  test('messages go both ways, proved by certificates', async () => {
    await scene.explained(talk(romeo, juliet, 'Wherefore?'));
    await scene.explained(talk(juliet, romeo, 'Deny thy father'));
    expect(scene.proofOf('parley.example')).toEqual(['certificate']);
  }, 40_000);

  test('a certificate that nobody knows leads to dialback, in both directions', async () => {
    const nurse = await enter(scene.server, 'nurse@local.example');
    await scene.explained(talk(nurse, juliet, 'Madam!'));
    await scene.explained(talk(juliet, nurse, 'Anon'));
    expect(scene.proofOf('local.example')).toContain('dialback');
    await nurse.client.destroy();
  }, 40_000);

  test('a host that is strict is content with a certificate', async () => {
    const prince = await enter(scene.server, 'prince@strict.example');
    await scene.explained(talk(prince, juliet, 'Rebellious subjects'));
    await scene.explained(talk(juliet, prince, 'Yes'));
    expect(scene.proofOf('strict.example')).toEqual(['certificate']);
    await prince.client.destroy();
  }, 40_000);

  test('five hundred messages arrive in order, in both directions at once', async () => {
    for (let i = 0; i < 500; i++) {
      romeo.client.write(`<message to='${juliet.jid}' type='chat'><body>r${i}</body></message>`);
      juliet.client.write(`<message to='${romeo.jid}' type='chat'><body>j${i}</body></message>`);
    }
    for (let i = 0; i < 500; i++) {
      expect(await find(juliet.client, /<body>/)).toContain(`<body>r${i}</body>`);
      expect(await find(romeo.client, /<body>/)).toContain(`<body>j${i}</body>`);
    }
  }, 60_000);

  test('large messages arrive whole', async () => {
    const body = `${'x'.repeat(200_000)}ä🎭`;
    await talk(romeo, juliet, body);
    await talk(juliet, romeo, body);
  }, 60_000);

  test('contacts subscribe, see each other come and go', async () => {
    const roster = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>";
    romeo.client.write(roster);
    juliet.client.write(roster);
    await find(romeo.client, /<presence .*from="romeo@parley.example\/here"/);
    await find(juliet.client, /<presence .*from="juliet@/);
    romeo.client.write(`<presence type='subscribe' to='juliet@${remote}'/>`);
    await scene.explained(find(juliet.client, /<presence .*type="subscribe"/));
    juliet.client.write(
      "<presence type='subscribed' to='romeo@parley.example'/><presence type='subscribe' to='romeo@parley.example'/>",
    );
    await scene.explained(find(romeo.client, /<presence .*type="subscribe"/));
    romeo.client.write(`<presence type='subscribed' to='juliet@${remote}'/>`);
    await scene.explained(find(juliet.client, /<presence (?!.*type=).*from="romeo@parley.example\/here"/));
    // whoever comes later learns who is there, by asking (RFC 6121 4.3) and by being told
    juliet.client.write("<presence type='unavailable'/>");
    await find(romeo.client, /<presence .*type="unavailable"/);
    juliet.client.write('<presence/>');
    await scene.explained(find(romeo.client, /<presence (?!.*type=).*from="juliet@/));
    await scene.explained(find(juliet.client, /<presence (?!.*type=).*from="romeo@parley.example\/here"/));
    // each direction ends for itself: by who granted it, by who had it
    romeo.client.write(`<presence type='unsubscribed' to='juliet@${remote}'/>`);
    await scene.explained(find(juliet.client, /<presence .*type="unsubscribed"/));
    romeo.client.write(`<presence type='unsubscribe' to='juliet@${remote}'/>`);
    await scene.explained(find(juliet.client, /<presence .*type="unsubscribe"/));
    // (Prosody does not say that she is gone, as RFC 6121 3.3.3 has it)
    if (name === 'ejabberd') await scene.explained(find(romeo.client, /(?=.*type="unavailable").*from="juliet@/));
    for (const { client } of [romeo, juliet]) {
      client.write("<iq type='get' id='end'><query xmlns='jabber:iq:roster'/></iq>");
      expect(await find(client, /id="end"/)).toMatch(/subscription="none"/);
    }
    // and the one who asks may be theirs
    juliet.client.write("<presence type='subscribe' to='romeo@parley.example'/>");
    await scene.explained(find(romeo.client, /<presence .*type="subscribe"/));
    romeo.client.write(`<presence type='unsubscribed' to='juliet@${remote}'/>`);
    await scene.explained(find(juliet.client, /<presence .*type="unsubscribed"/));
  }, 60_000);

  test('a room on their side is joined by ours', async () => {
    const room = `verona@${scene.peer.rooms}`;
    juliet.client.write(`<presence to='${room}/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    await scene.explained(find(juliet.client, /status code="201"/));
    juliet.client.write(
      `<iq type='set' id='open' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
    );
    await find(juliet.client, /id="open"/);
    const say = (who: Person, body: string): void =>
      who.client.write(`<message to='${room}' type='groupchat'><body>${body}</body></message>`);
    say(juliet, 'Before you came');
    await scene.explained(find(juliet.client, /Before you came/));
    romeo.client.write(`<presence to='${room}/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    await scene.explained(find(romeo.client, /<presence .*from="[^"]*\/juliet"/));
    await scene.explained(find(romeo.client, /status code="110"/));
    expect(await scene.explained(find(romeo.client, /Before you came/))).toContain('urn:xmpp:delay');
    say(romeo, 'Hello all');
    await scene.explained(find(juliet.client, /Hello all/));
    await scene.explained(find(romeo.client, /Hello all/));
    say(juliet, 'Hello Romeo');
    await scene.explained(find(romeo.client, /Hello Romeo/));
    // whoever goes is seen to go
    romeo.client.write(`<presence type='unavailable' to='${room}/romeo'/>`);
    await scene.explained(find(juliet.client, /<presence .*type="unavailable"/));
  }, 60_000);

  test('a room on our side is joined by theirs, who talk, are kicked and banned', async () => {
    const room = 'mantua@groups.parley.example';
    const join = (who: Person, nick: string): void =>
      who.client.write(`<presence to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    const change = (id: string, item: string): void =>
      romeo.client.write(
        `<iq type='set' id='${id}' to='${room}'><query xmlns='http://jabber.org/protocol/muc#admin'>${item}</query></iq>`,
      );
    join(romeo, 'romeo');
    await scene.explained(find(romeo.client, /status code="201"/));
    romeo.client.write(
      `<iq type='set' id='ours' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
    );
    await find(romeo.client, /id="ours"/);
    join(juliet, 'juliet');
    await scene.explained(find(juliet.client, /status code="110"/));
    await scene.explained(find(juliet.client, /<subject/));
    for (const [one, other] of [
      [juliet, romeo],
      [romeo, juliet],
    ] as const) {
      one.client.write(`<message to='${room}' type='groupchat'><body>from ${one.jid}</body></message>`);
      for (const who of [one, other]) await scene.explained(find(who.client, new RegExp(`<body>from ${one.jid}`)));
    }
    change('kick', `<item nick='juliet' role='none'/>`);
    await scene.explained(find(juliet.client, /status code="307"/));
    join(juliet, 'juliet');
    await scene.explained(find(juliet.client, /status code="110"/));
    change('ban', `<item jid='${juliet.jid.split('/')[0]}' affiliation='outcast'/>`);
    await scene.explained(find(juliet.client, /status code="301"/));
    join(juliet, 'juliet');
    await scene.explained(find(juliet.client, /<forbidden/));
    romeo.client.write(`<presence type='unavailable' to='${room}/romeo'/>`);
    await scene.explained(find(romeo.client, /<presence .*type="unavailable" .*|status code="110"/));
  }, 60_000);

  test('whoever is in a room of theirs when our server is killed does not stay there', async () => {
    const room = `verona@${scene.peer.rooms}`;
    await using killed = await ChildServer.start({
      hosts: { 'killed.example': {} },
      database: 'memory',
      tls: { required: false },
      listen: { s2s: scene.childPort },
      dns: { servers: [`127.0.0.1:${scene.names.port}`] },
    });
    await killed.addUsers('killed.example', ['mercutio']);
    const mercutio = await logIn(killed.address('c2s'), {
      domain: 'killed.example',
      user: 'mercutio',
      password: passwordOf('mercutio'),
    });
    mercutio.client.write(`<presence to='${room}/mercutio'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    await scene.explained(find(juliet.client, /<presence (?!.*type=).*from="[^"]*\/mercutio"/));
    await killed.stop('SIGKILL');
    await killed.start();
    await killed.addUsers('killed.example', ['mercutio']);
    // what the room sends it comes back from a session that is no more
    juliet.client.write(`<message to='${room}' type='groupchat'><body>Art thou hurt?</body></message>`);
    const left = /<presence (?=.*type="unavailable").*from="[^"]*\/mercutio"/;
    await scene.explained(find(juliet.client, left));
  }, 90_000);

  test('errors come back, also late', async () => {
    romeo.client.write(`<iq type='get' id='odd' to='juliet@${remote}/nowhere'><query xmlns='urn:example:odd'/></iq>`);
    expect(await scene.explained(find(romeo.client, /id="odd"/))).toContain('type="error"');
    juliet.client.write("<message id='odd2' type='chat' to='nobody@parley.example'><body>x</body></message>");
    expect(await scene.explained(find(juliet.client, /id="odd2"/))).toContain('type="error"');
  }, 40_000);

  test('a server that accepts and never answers costs its senders an error, and nobody else anything', async () => {
    const nurse = await enter(scene.server, 'nurse2@local.example');
    nurse.client.write("<message id='mute' to='x@mute.example'><body>x</body></message>");
    await scene.explained(talk(nurse, juliet, 'in the meantime'));
    await scene.explained(talk(juliet, nurse, 'Anon'));
    expect(await find(nurse.client, /id="mute"/)).toMatch(/type="error".*remote-server-timeout/);
    await nurse.client.destroy();
  }, 40_000);

  test('a peer that dies in the middle of a conversation is found again', async () => {
    await talk(romeo, juliet, 'before');
    const waiting = (): number => scene.server.server.federation().reduce((sum, stream) => sum + stream.waiting, 0);
    await expect.poll(waiting).toBe(0);
    await scene.peer.stop('SIGKILL');
    romeo.client.write(`<message id='lost' to='${juliet.jid}' type='chat'><body>into the void</body></message>`);
    expect(await find(romeo.client, /id="lost"/)).toMatch(/type="error".*remote-server-timeout/);
    await scene.peer.start();
    const again = await scene.peer.enter('rosaline', 'window');
    // the domain comes to us first: it is no longer left alone
    again.client.write(`<message to='${romeo.jid}' type='chat'><body>I am back</body></message>`);
    await scene.explained(find(romeo.client, /I am back/));
    await scene.explained(talk(romeo, again, 'So you are'));
    expect(scene.server.errors).toEqual([]);
  }, 90_000);
});

test('of what is said while Prosody is killed and comes back, each message is there or was given back', async () => {
  await using scene = await Scene.start(Prosody, 'prosody.example');
  const romeo = await enter(scene.server, 'romeo@parley.example');
  // away: what Prosody has acknowledged is in a file of its own then
  const juliet = await scene.peer.enter('juliet', 'balcony');
  await juliet.client.destroy();
  const ids = Array.from({ length: 400 }, (_, i) => `k${i}`);
  const waiting = (): number => scene.server.server.federation().reduce((sum, stream) => sum + stream.waiting, 0);
  let isBack: Promise<void> | undefined;
  for (const [i, id] of ids.entries()) {
    romeo.client.write(`<message id='${id}' type='chat' to='juliet@prosody.example'><body>${id}</body></message>`);
    if (i % 20 === 0) await romeo.client.fence();
    if (i === 150) await expect.poll(waiting, { timeout: PATIENCE }).toBe(0);
    if (i === 200) isBack = scene.peer.stop('SIGKILL').then(() => scene.peer.start());
    if (i > 200) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await isBack;
  await expect.poll(waiting, { timeout: PATIENCE }).toBe(0);
  await romeo.client.fence();
  const returned = idsOf(romeo.client);
  const again = await scene.peer.comeBack('juliet', 'tomb');
  again.client.write('<presence/>');
  await again.client.fence();
  const there = idsOf(again.client);
  const known = new Set([...returned, ...there]);
  expect(ids.filter((id) => !known.has(id))).toEqual([]);
  expect(returned.length).toBeGreaterThan(0);
  expect(there.length).toBeGreaterThan(100);
  // each pair's order holds, also over the gap
  const firsts = [...new Set(there)];
  expect(firsts).toEqual(firsts.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))));
}, 60_000);

describe.each(kinds)('with %s, whose certificate is not right', (name, Kind) => {
  const remote = `odd.${name.toLowerCase()}.example`;

  test.each([
    [
      'expired',
      () => authority.issue({ names: [remote], notBefore: Date.now() - 90 * DAY, notAfter: Date.now() - DAY }),
    ],
    ['for another domain', () => authority.issue({ names: ['elsewhere.example'] })],
    ['of somebody nobody knows', () => stranger.issue({ names: [remote] })],
    ['signed by itself', () => selfSigned([remote])],
  ])(
    '%s: dialback where that is enough, an error where it is not',
    async (_, issue) => {
      await using scene = await Scene.start(Kind, remote, { certificate: issue() });
      const juliet = await scene.peer.enter('juliet', 'balcony');
      const romeo = await enter(scene.server, 'romeo@parley.example');
      const prince = await enter(scene.server, 'prince@strict.example');
      await scene.explained(talk(romeo, juliet, 'Wherefore?'));
      await scene.explained(talk(juliet, romeo, 'Deny thy father'));
      prince.client.write(`<message id='p' to='${juliet.jid}' type='chat'><body>x</body></message>`);
      expect(await find(prince.client, /id="p"/)).toMatch(/type="error".*remote-server-not-found.*certificate/);
      juliet.client.write(`<message id='j' to='${prince.jid}' type='chat'><body>x</body></message>`);
      expect(await scene.explained(find(juliet.client, /id="j"/))).toContain('type="error"');
      expect(prince.client.inbox).toEqual([]);
    },
    90_000,
  );
});

describe.each(kinds)('with a strict %s', (name, Kind) => {
  test('a valid certificate is let in, and one that nobody knows is told why', async () => {
    const remote = `strict.${name.toLowerCase()}.example`;
    await using scene = await Scene.start(Kind, remote, { isStrict: true });
    const juliet = await scene.peer.enter('juliet', 'balcony');
    const romeo = await enter(scene.server, 'romeo@parley.example');
    const nurse = await enter(scene.server, 'nurse@local.example');
    await scene.explained(talk(romeo, juliet, 'Wherefore?'));
    await scene.explained(talk(juliet, romeo, 'Deny thy father'));
    nurse.client.write(`<message id='n' to='${juliet.jid}' type='chat'><body>x</body></message>`);
    expect(await scene.explained(find(nurse.client, /id="n"/))).toContain('type="error"');
  }, 90_000);
});

test.each(kinds)(
  'with %s over direct TLS only, both ways',
  async (name, Kind) => {
    const remote = `direct.${name.toLowerCase()}.example`;
    const [ours, theirs] = [await freePort(), await freePort()];
    const folder = mkdtempSync(join(tmpdir(), 'parley federation '));
    try {
      await using names = await NameServerProgram.start([
        { domain: 'parley.example', port: ours, isDirectTls: true },
        { domain: remote, port: theirs, isDirectTls: true },
      ]);
      await using peer = new Kind({
        domain: remote,
        certificate: authority.issue({ names: [remote] }),
        ca: authority.certificate,
        dnsPort: names.port,
        s2sPort: theirs,
        isDirectTls: true,
      });
      const { certificate, key } = authority.issue({ names: ['parley.example'] });
      writeFileSync(join(folder, 'parley.example.pem'), `${certificate}\n${key}`);
      writeFileSync(join(folder, 'ca.crt'), authority.certificate);
      await using server = await TestServer.start(
        mergeSettings(federating('parley.example'), {
          tls: { certificates: folder, ca: join(folder, 'ca.crt') },
          // one connection would do: each side is to find the other
          s2s: { bidi: false },
          dns: { servers: [`127.0.0.1:${names.port}`] },
          listen: { s2s: null, 's2s-tls': ours },
        }),
      );
      await peer.start();
      const juliet = await peer.enter('juliet', 'balcony');
      const romeo = await enter(server, 'romeo@parley.example');
      try {
        await talk(romeo, juliet, 'Wherefore?');
        await talk(juliet, romeo, 'Deny thy father');
      } catch (error) {
        throw new Error(`${error}\n${peer.log().split('\n').slice(-80).join('\n')}`, { cause: error });
      }
      const proofs = server.server.federation().map(({ direction, proof }) => `${direction} ${proof}`);
      expect([...new Set(proofs)].sort()).toEqual(['in certificate', 'out external']);
      expect(server.errors).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  90_000,
);

test('three servers, three pairs', async () => {
  const [ours, first, second] = [await freePort(), await freePort(), await freePort()];
  await using names = await NameServerProgram.start([
    { domain: 'parley.example', port: ours },
    { domain: 'prosody.example', port: first },
    { domain: 'ejabberd.example', port: second },
  ]);
  const options = (domain: string, s2sPort: number) => ({
    domain,
    certificate: authority.issue({ names: [domain] }),
    ca: authority.certificate,
    dnsPort: names.port,
    s2sPort,
  });
  await using prosody = new Prosody(options('prosody.example', first));
  await using ejabberd = new Ejabberd(options('ejabberd.example', second));
  await using server = await TestServer.start(
    mergeSettings(federating('parley.example'), {
      dns: { servers: [`127.0.0.1:${names.port}`] },
      listen: { s2s: ours },
    }),
  );
  await Promise.all([prosody.start(), ejabberd.start()]);
  const people = [
    await enter(server, 'romeo@parley.example'),
    await prosody.enter('juliet', 'balcony'),
    await ejabberd.enter('nurse', 'chamber'),
  ];
  for (const from of people) for (const to of people) if (from !== to) await talk(from, to, `for ${to.jid}`);
  expect(server.errors).toEqual([]);
}, 90_000);
