// Federation as those who run a server see it: reload, order under load, idle streams, steps on the way, figures.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { silent } from '../../../src/base/log.ts';
import { parseConfig } from '../../../src/config/load.ts';
import type { Config, ConfigInput } from '../../../src/config/server.ts';
import { messageIn } from '../../../src/core/events.ts';
import { defineModule, on } from '../../../src/core/module.ts';
import { loadModules } from '../../../src/index.ts';
import { Server } from '../../../src/server.ts';
import { TestAuthority } from '../../kit/certificates.ts';
import { StreamClient } from '../../kit/client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { federating, TestNames } from '../../kit/federation.ts';
import { logIn } from '../../kit/login.ts';
import { ScriptedServer, told } from '../../kit/server-peer.ts';
import { mergeSettings } from '../../kit/test-server.ts';

const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const header = (features: string): string =>
  `<stream:stream from='odd.test' id='1' version='1.0' xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>${features}</stream:features>`;

let names: TestNames;
const servers: Server[] = [];
beforeEach(() => {
  names = new TestNames();
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

/** Holds messages that say "slow" until the test lets them go. */
class Brake {
  private waiting: (() => void)[] = [];
  readonly module = defineModule({
    summary: 'Holds messages for a test',
    xeps: [],
    setup: () => ({
      handlers: [
        on(messageIn, { phase: 'check' }, ({ stanza }) =>
          stanza.el.getChildText('body')?.startsWith('slow') === true
            ? new Promise<undefined>((resolve) => this.waiting.push(() => resolve(undefined)))
            : undefined,
        ),
      ],
    }),
  });

  get held(): number {
    return this.waiting.length;
  }

  release(): void {
    for (const go of this.waiting.splice(0)) go();
  }
}

function configOf(domain: string, more: ConfigInput = {}): Config {
  return parseConfig(
    mergeSettings(
      federating(domain, {
        database: 'memory',
        tls: { required: false },
        limits: { enabled: false, 'idle-timeout': '100d' },
        listen: { address: ['127.0.0.1'], c2s: 0 },
      }),
      more,
    ),
  );
}

async function start(domain: string, more: ConfigInput = {}, brake?: Brake, clock?: Clock): Promise<Server> {
  const config = configOf(domain, more);
  const modules = new Map(await loadModules(config));
  if (brake !== undefined) modules.set('brake', brake.module as never);
  const server = await Server.start(config, {
    modules,
    nameServer: names,
    iterations: 1,
    log: silent,
    ...(clock === undefined ? {} : { clock }),
  });
  servers.push(server);
  names.set(domain, { port: server.address('s2s')!.port });
  return server;
}

async function enter(server: Server, jid: string) {
  const [user = '', domain = ''] = jid.split('@');
  await server.hosts.get(domain)!.accounts.create(user, 'secret');
  return logIn(server.address('c2s')!, { domain, user, password: 'secret', resource: 'here' });
}

const open = (server: Server): readonly string[] =>
  server.federation
    .streams()
    .filter(({ state }) => state === 'open')
    .flatMap(({ domains }) => domains)
    .sort();

describe.each([
  ['rooms', 'groups'],
  ['pubsub', 'pubsub'],
] as const)('the service of %s', (kind, name) => {
  const none = { rooms: { enabled: false }, pubsub: { enabled: false }, upload: { enabled: false } };
  const usual = `${name}.verona.test`;

  test('its domain comes, goes and moves with the settings, here and for other servers', async () => {
    const verona = await start('verona.test', none);
    const listen = { c2s: verona.address('c2s')!.port, s2s: verona.address('s2s')!.port };
    const mantua = await start('mantua.test');
    const romeo = await enter(verona, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    const answers = async (to: string): Promise<boolean> => {
      const seen = [];
      for (const { client } of [romeo, juliet]) {
        client.write(`<iq type='get' id='${to}' to='${to}'><ping xmlns='urn:xmpp:ping'/></iq>`);
        seen.push(/type="result"/.test(told(await client.next())));
      }
      expect(seen[0]).toBe(seen[1]);
      return seen[0] === true;
    };
    const certified = (): string[] => verona.certificates().map(({ host }) => host);
    expect([...verona.hosts.keys()]).toEqual(['verona.test']);
    await verona.reload(configOf('verona.test', { ...none, listen, [kind]: {} }));
    expect(await answers(usual)).toBe(true);
    expect(certified()).toEqual(['verona.test', usual]);
    const host = verona.hosts.get(usual)!;
    expect([host.kind, host.parent?.domain]).toEqual([kind, 'verona.test']);
    expect(() => host.accounts).toThrow(`${usual} has no accounts`);

    const limits = { 'stanza-bytes': '100kB' };
    await verona.reload(configOf('verona.test', { ...none, listen, limits, [kind]: {} }));
    expect(verona.hosts.get(usual)).toBe(host);
    expect(host.settings.limits['stanza-bytes']).toBe(100_000);

    names.set('chat.verona.test', { port: listen.s2s });
    await verona.reload(configOf('verona.test', { ...none, listen, limits, [kind]: { domain: 'chat.*' } }));
    expect(await answers('chat.verona.test')).toBe(true);
    expect(certified()).toEqual(['verona.test', 'chat.verona.test']);
    expect(await answers(usual)).toBe(false);
    await verona.reload(configOf('verona.test', { ...none, listen, limits }));
    expect([...verona.hosts.keys()]).toEqual(['verona.test']);
    for (const { client } of [romeo, juliet]) await client.destroy();
  });
});

describe('order', () => {
  test('a stanza that waits holds up its own pair, and nobody else', async () => {
    const brake = new Brake();
    const verona = await start('verona.test');
    const mantua = await start('mantua.test', { modules: { brake: true } }, brake);
    const romeo = await enter(verona, 'romeo@verona.test');
    const nurse = await enter(verona, 'nurse@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    const say = (who: typeof romeo, body: string): void =>
      who.client.write(`<message to='${juliet.jid}'><body>${body}</body></message>`);
    say(romeo, 'slow 1');
    say(romeo, '2');
    say(romeo, 'slow 3');
    await expect.poll(() => brake.held).toBe(1);
    say(nurse, 'mine');
    expect(told(await juliet.client.next())).toContain('<body>mine</body>');
    expect(juliet.client.inbox).toEqual([]);
    brake.release();
    expect(told(await juliet.client.next())).toContain('<body>slow 1</body>');
    expect(told(await juliet.client.next())).toContain('<body>2</body>');
    await expect.poll(() => brake.held).toBe(1);
    brake.release();
    expect(told(await juliet.client.next())).toContain('<body>slow 3</body>');
    for (const { client } of [romeo, nurse, juliet]) await client.destroy();
  });

  test('what is being handled is bounded, and nothing is lost by that', async () => {
    const brake = new Brake();
    const verona = await start('verona.test');
    const mantua = await start('mantua.test', { modules: { brake: true } }, brake);
    const romeo = await enter(verona, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    for (let i = 0; i < 1500; i++) {
      romeo.client.write(`<message to='${juliet.jid}'><body>${i === 0 ? 'slow' : ''}${i}</body></message>`);
    }
    await expect.poll(() => brake.held).toBe(1);
    await expect.poll(() => Math.max(...mantua.federation.streams().map(({ received }) => received))).toBe(1024);
    brake.release();
    for (let i = 0; i < 1500; i++) {
      expect(told(await juliet.client.next())).toContain(`<body>${i === 0 ? 'slow' : ''}${i}</body>`);
    }
    for (const { client } of [romeo, juliet]) await client.destroy();
  }, 30_000);
});

describe('settings that change', () => {
  test('end the streams that they forbid, and leave the others alone', async () => {
    const verona = await start('verona.test');
    const listen = { c2s: verona.address('c2s')!.port, s2s: verona.address('s2s')!.port };
    const mantua = await start('mantua.test');
    const padua = await start('padua.test');
    const romeo = await enter(verona, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    const bianca = await enter(padua, 'bianca@padua.test');
    for (const { jid, client } of [juliet, bianca]) {
      romeo.client.write(`<message to='${jid}'><body>x</body></message>`);
      expect(told(await client.next())).toContain('<body>x</body>');
    }
    const before = verona.federation.streams().find(({ domains }) => domains.includes('padua.test'))?.since;
    expect(open(verona)).toEqual(['mantua.test', 'padua.test']);
    await verona.reload(configOf('verona.test', { listen, s2s: { policy: 'deny-list', deny: ['mantua.test'] } }));
    await expect.poll(() => open(verona)).toEqual(['padua.test']);
    expect(verona.federation.streams().find(({ domains }) => domains.includes('padua.test'))?.since).toBe(before);
    juliet.client.write(`<message id='1' to='${romeo.jid}'><body>x</body></message>`);
    expect(told(await juliet.client.next())).toMatch(/type="error"/);
    await verona.reload(configOf('verona.test', { listen, s2s: { enabled: false } }));
    await expect.poll(() => open(verona)).toEqual([]);
    romeo.client.write(`<message id='2' to='${bianca.jid}'><body>x</body></message>`);
    expect(told(await romeo.client.next())).toContain('remote-server-not-found');
    for (const { client } of [romeo, juliet, bianca]) await client.destroy();
  });
});

describe('trying to reach a domain', () => {
  test('tells each step, and leaves no stream behind', async () => {
    const verona = await start('verona.test');
    await start('mantua.test');
    const report = await verona.federation.probe('mantua.test', 'verona.test');
    expect(report?.isReached).toBe(true);
    expect(
      report?.steps.map(({ kind, isOk, text }) => `${kind} ${isOk} ${text.replace(/port \d+/, 'port N')}`),
    ).toEqual([
      'dns true SRV records name 0.at.mantua.test port N',
      'tcp true connected to 127.0.0.1 port N',
      'tls true STARTTLS: TLSv1.3, TLS_AES_128_GCM_SHA256',
      'certificate false its certificate does not lead to an authority that is trusted here',
      'authentication true the server called back, and accepted us (dialback)',
    ]);
    await expect.poll(() => open(verona)).toEqual([]);
  });

  test('tells where it fails', async () => {
    const verona = await start('verona.test', { s2s: { policy: 'deny-list', deny: ['foe.test'] } });
    const last = async (domain: string): Promise<string> => {
      const { isReached, steps } = (await verona.federation.probe(domain, 'verona.test'))!;
      expect(isReached).toBe(false);
      return `${steps.at(-1)?.kind}: ${steps.at(-1)?.text}`;
    };
    expect(await last('nowhere.test')).toBe('dns: nowhere.test: there is no address for it');
    names.set('dead.test', { port: 1 });
    expect(await last('dead.test')).toBe('tcp: 127.0.0.1 port 1: nobody listens there');
    names.set('lost.test', { port: verona.address('s2s')!.port });
    expect(await last('lost.test')).toBe('stream: the server there does not serve lost.test (host-unknown)');
    expect(await verona.federation.probe('foe.test', 'verona.test')).toBeUndefined();
  });

  test.each<[string, boolean, readonly string[], string]>([
    [
      'no XMPP',
      false,
      ['HTTP/1.1 400 Bad Request\r\n\r\n'],
      'stream: what answers there does not speak XMPP (not-well-formed: text outside the root)',
    ],
    [
      'no TLS where it is promised',
      true,
      ['HTTP/1.1 400 Bad Request\r\n\r\n'],
      'tls: the TLS handshake failed (direct TLS): what answers does not speak TLS (wrong version number)',
    ],
    ['no TLS at all', false, [header('')], 'tls: the server does not offer TLS, and nothing is sent without it'],
    [
      'an alert',
      false,
      [header(starttls), "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", '\x15\x03\x03\x00\x02\x02\x28'],
      'tls: the TLS handshake failed (STARTTLS): the other side sent the alert "handshake failure"',
    ],
    [
      'an end without a word',
      false,
      [header(starttls), "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", ''],
      'tls: the TLS handshake failed (STARTTLS): the connection was broken off',
    ],
    ['silence', false, [], 'stream: 127.0.0.1 does not answer in time'],
  ])('tells what came instead: %s', async (_, isDirectTls, answers, problem) => {
    const verona = await start('verona.test', { s2s: { 'auth-timeout': '300ms' } });
    const server = createServer((socket) => {
      const rest = [...answers];
      socket.on('error', () => {});
      socket.on('data', () => {
        const answer = rest.shift();
        if (answer === undefined) return;
        if (rest.length > 0 || answer.startsWith('<')) socket.write(answer);
        else socket.end(Buffer.from(answer, 'latin1'));
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    names.set('odd.test', { port: (server.address() as { port: number }).port, isDirectTls });
    const report = (await verona.federation.probe('odd.test', 'verona.test'))!;
    server.close();
    expect(report.steps.filter(({ isOk }) => !isOk).map(({ kind, text }) => `${kind}: ${text}`)).toEqual([problem]);
  });

  test('tells what a host asks for, and the other does not have', async () => {
    const verona = await start('verona.test', { s2s: { 'require-valid-certificates': true } });
    await start('mantua.test');
    const report = (await verona.federation.probe('mantua.test', 'verona.test'))!;
    expect(report.steps.filter(({ isOk }) => !isOk).map(({ kind, text }) => `${kind}: ${text}`)).toEqual([
      'certificate: its certificate does not lead to an authority that is trusted here',
      'certificate: verona.test asks for a valid one (s2s.require-valid-certificates)',
    ]);
  });

  test('tells that nobody calls back', async () => {
    const verona = await start('verona.test', { s2s: { 'auth-timeout': '300ms' } });
    const identity = new TestAuthority().issue({ names: ['mantua.test'] });
    await using mantua = await ScriptedServer.start('mantua.test', identity, '');
    names.set('mantua.test', { port: mantua.port });
    const report = (await verona.federation.probe('mantua.test', 'verona.test'))!;
    expect(report.steps.at(-1)?.text).toBe(
      '127.0.0.1 does not answer in time to dialback: perhaps it cannot call us back',
    );
  });
});

test('streams and failures are counted', async () => {
  const verona = await start('verona.test');
  const mantua = await start('mantua.test');
  const romeo = await enter(verona, 'romeo@verona.test');
  const juliet = await enter(mantua, 'juliet@mantua.test');
  romeo.client.write(
    `<message to='${juliet.jid}'><body>x</body></message><message to='x@nowhere.test'><body>x</body></message>`,
  );
  await juliet.client.next();
  await romeo.client.next();
  const figures = await verona.metrics.text();
  expect(figures).toContain('parley_s2s_streams{direction="out",state="open"} 1');
  expect(figures).toContain('parley_s2s_stanzas_total{direction="out"} 1');
  expect(figures).toContain('parley_s2s_failures_total{direction="out",reason="dns"} 1');
  expect(verona.federation.closeDomain('mantua.test')).toBeGreaterThan(0);
  await expect.poll(() => open(verona)).toEqual([]);
  for (const { client } of [romeo, juliet]) await client.destroy();
});

test('who connects and proves nothing is counted once, by reason', async () => {
  const clock = new FakeClock();
  const verona = await start('verona.test', { s2s: { 'auth-timeout': '10s' } }, undefined, clock);
  const mute = await StreamClient.connect(verona.address('s2s')!);
  await expect.poll(() => verona.federation.streams().map(({ state }) => state)).toEqual(['connecting']);
  for (let i = 0; i < 6; i++) await clock.advance(5_000);
  expect(await mute.closed()).toBe(true);
  expect(await verona.metrics.text()).toContain('parley_s2s_failures_total{direction="in",reason="timeout"} 1');
  await mute.destroy();
});

test('a stream that was only made to ask about a key goes again, and nobody is the worse for it', async () => {
  const clock = new FakeClock();
  const verona = await start('verona.test', { s2s: { bidi: false } }, undefined, clock);
  const mantua = await start('mantua.test', { s2s: { bidi: false } }, undefined, clock);
  const romeo = await enter(verona, 'romeo@verona.test');
  const juliet = await enter(mantua, 'juliet@mantua.test');
  romeo.client.write(`<message to='${juliet.jid}'><body>x</body></message>`);
  await juliet.client.next();
  const outgoing = () => mantua.federation.streams().filter(({ direction }) => direction === 'out');
  expect(outgoing().map(({ state }) => state)).toEqual(['offered']);
  await clock.advance(30_000);
  await expect.poll(() => outgoing()).toEqual([]);
  expect(names.asked.filter((name) => name.includes('verona')).length).toBe(2);
  expect(await mantua.metrics.text()).not.toContain('parley_s2s_failures_total{');
  juliet.client.write(`<message to='${romeo.jid}'><body>and back</body></message>`);
  expect(told(await romeo.client.next(5_000))).toContain('and back');
  for (const { client } of [romeo, juliet]) await client.destroy();
});

test('a stream over which nothing comes or goes is closed, and the next stanza opens another', async () => {
  const clock = new FakeClock();
  const verona = await start('verona.test', {}, undefined, clock);
  const mantua = await start('mantua.test', {}, undefined, clock);
  const romeo = await enter(verona, 'romeo@verona.test');
  const juliet = await enter(mantua, 'juliet@mantua.test');
  const talk = async (body: string): Promise<void> => {
    romeo.client.write(`<message to='${juliet.jid}'><body>${body}</body></message>`);
    expect(told(await juliet.client.next())).toContain(body);
    // an acknowledgement is asked for, and comes
    await clock.advance(200);
    await expect.poll(() => verona.federation.streams().every(({ waiting }) => waiting === 0)).toBe(true);
  };
  const outgoing = (): number => verona.federation.streams().filter(({ direction }) => direction === 'out').length;
  await talk('one');
  await clock.advance(20 * 60_000);
  await talk('two');
  await clock.advance(20 * 60_000);
  expect(outgoing()).toBe(1);
  await clock.advance(15 * 60_000);
  await expect.poll(outgoing).toBe(0);
  await talk('three');
  expect(outgoing()).toBe(1);
  for (const { client } of [romeo, juliet]) await client.destroy();
});
