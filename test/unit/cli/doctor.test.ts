import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Check, renderChecks } from '../../../src/cli/check.ts';
import { type DoctorParts, examine, type SrvRecord } from '../../../src/cli/doctor.ts';
import { parseConfig } from '../../../src/config/load.ts';
import type { ConfigInput } from '../../../src/config/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley-doctor-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const srv: Record<string, SrvRecord[]> = {
  '_xmpp-client._tcp.good.example': [{ name: 'host.good.example', port: 5222 }],
  '_xmpps-client._tcp.good.example': [{ name: 'host.good.example', port: 5223 }],
  '_xmpp-server._tcp.good.example': [{ name: 'host.good.example', port: 5269 }],
  '_xmpps-server._tcp.good.example': [{ name: 'host.good.example', port: 5270 }],
  '_xmpp-client._tcp.odd.example': [{ name: 'nowhere.example', port: 5222 }],
  '_xmpp-server._tcp.odd.example': [{ name: '', port: 0 }],
  '_xmpps-client._tcp.odd.example': [{ name: 'host.good.example', port: 443 }],
};
const addresses: Record<string, string[]> = { 'host.good.example': ['192.0.2.1'], 'bare.example': ['192.0.2.2'] };
const dns: DoctorParts['dns'] = {
  srv: async (name) => srv[name] ?? [],
  addresses: async (name) => addresses[name] ?? [],
};

async function look(
  input: ConfigInput,
  parts: Partial<DoctorParts> = {},
): Promise<(subject: string) => Check | undefined> {
  const config = parseConfig({ data: './data', ...input }, { baseFolder: folder });
  const redis = async () => ({ ok: true, version: 'Redis 7.0.15', latency: 0.4 });
  const room = async () => ({ connections: 97, wanted: 10, nodes: 1 });
  const turn: DoctorParts['turn'] = {
    bind: () => Promise.reject(new Error('asked')),
    relay: () => Promise.reject(new Error('asked')),
  };
  const usual = { status: undefined, ping: async () => {}, room, redis, dns, turn, now: Date.now() };
  const checks = await examine(config, { ...usual, ...parts });
  for (const { state, fix } of checks) expect(fix === undefined).toBe(state === 'ok');
  return (subject) => checks.find((check) => check.subject === subject);
}

// examined against the standard ports without opening any: a running server is given
const running: DoctorParts['status'] = { listeners: [], certificates: [], database: { kind: 'embedded', ok: true } };

describe('DNS', () => {
  it('records that lead to our ports are right', async () => {
    const check = await look({ hosts: { 'good.example': {} } }, { status: running });
    for (const label of ['_xmpp-client', '_xmpps-client', '_xmpp-server', '_xmpps-server']) {
      expect(check(`dns ${label}._tcp.good.example`)?.state).toBe('ok');
    }
  });

  it('without records the domain itself is tried at the standard ports (RFC 6120 3.2.2); direct TLS is not found', async () => {
    const check = await look({ hosts: { 'bare.example': {} } }, { status: running });
    expect(check('dns _xmpp-client._tcp.bare.example')?.state).toBe('ok');
    expect(check('dns _xmpps-client._tcp.bare.example')).toMatchObject({
      state: 'warn',
      fix: 'add: _xmpps-client._tcp.bare.example. 3600 IN SRV 0 5 5223 bare.example.',
    });
    const other = await look({ hosts: { 'bare.example': {} }, listen: { c2s: 6222 } }, { status: running });
    expect(other('dns _xmpp-client._tcp.bare.example')?.state).toBe('fail');
    // a listener that is off needs no record
    expect(other('dns _xmpp-server._tcp.bare.example')).toBeUndefined();
  });

  it('a target without address, one that says no, another port, and no address at all', async () => {
    const check = await look({ hosts: { 'odd.example': {}, 'none.example': {} } }, { status: running });
    expect(check('dns _xmpp-client._tcp.odd.example')).toMatchObject({
      state: 'fail',
      message: 'points to nowhere.example, which has no address',
    });
    expect(check('dns _xmpp-server._tcp.odd.example')?.message).toContain('no such service');
    expect(check('dns _xmpps-client._tcp.odd.example')?.state).toBe('warn');
    expect(check('dns _xmpp-client._tcp.none.example')?.state).toBe('fail');
  });

  it('localhost needs none, and federation that is off needs no records', async () => {
    const check = await look(
      { hosts: { localhost: {}, 'bare.example': { s2s: { enabled: false } } } },
      { status: running },
    );
    expect(check('dns localhost')?.state).toBe('ok');
    expect(check('dns _xmpp-server._tcp.bare.example')).toBeUndefined();
  });

  it('services are found by other servers by names of their own, which those here do without', async () => {
    const check = await look({ hosts: { 'bare.example': {}, localhost: {} } }, { status: running });
    expect(check('dns groups.bare.example')).toMatchObject({
      state: 'warn',
      fix: 'add: _xmpp-server._tcp.groups.bare.example. 3600 IN SRV 0 5 5269 bare.example.',
    });
    expect(check('dns groups.localhost')?.state).toBe('ok');
    expect(check('dns pubsub.bare.example')).toMatchObject({
      state: 'warn',
      message: expect.stringContaining('cannot read what is published there'),
      fix: 'add: _xmpp-server._tcp.pubsub.bare.example. 3600 IN SRV 0 5 5269 bare.example.',
    });
    const found = { 'good.example': { rooms: { domain: 'bare.example' } } };
    expect((await look({ hosts: found }, { status: running }))('dns bare.example')?.state).toBe('ok');
    const alone = await look({ hosts: { 'bare.example': {} }, s2s: { enabled: false } }, { status: running });
    expect(alone('dns groups.bare.example')).toBeUndefined();
  });

  it('a resolver that fails is told', async () => {
    const check = await look(
      { hosts: { 'good.example': {} } },
      { status: running, dns: { ...dns, addresses: () => Promise.reject(new Error('queryA ETIMEOUT')) } },
    );
    expect(check('dns good.example')).toMatchObject({
      state: 'fail',
      message: 'the resolver does not answer: queryA ETIMEOUT',
    });
  });
});

describe('this machine', () => {
  it('a Postgres has to let in all connections of all nodes', async () => {
    const database = 'postgres://parley@db.example/parley';
    const room = (connections: number, nodes: number) => async () => ({ connections, wanted: 10 * nodes, nodes });
    expect((await look({ database }, { room: room(40, 4) }))('database room')).toBeUndefined();
    expect((await look({ database }, { room: room(39, 4) }))('database room')).toEqual({
      state: 'warn',
      subject: 'database room',
      message: 'has room for 39 connections, and the 4 nodes may want 40',
      fix: 'raise its max_connections by 1 or more',
    });
    // the embedded one is made large enough; one that does not answer is told of once
    expect((await look({ database: 'embedded' }, { room: room(1, 4) }))('database room')).toBeUndefined();
    const silent = await look({ database }, { room: () => Promise.reject(new Error('away')) });
    expect(silent('database room')).toBeUndefined();
  });

  it('ports that are free, picked, or taken', async () => {
    const taken = createServer();
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
    const { port } = taken.address() as AddressInfo;
    const check = await look({ listen: { address: '127.0.0.1', c2s: port, http: 0 } });
    expect(check('port c2s')).toMatchObject({
      state: 'fail',
      message: `127.0.0.1:${port} is taken by another program`,
    });
    expect(check('port http')?.state).toBe('ok');
    const live = await look({}, { status: { ...running!, listeners: [{ name: 'c2s', address: '127.0.0.1', port }] } });
    expect(live('port c2s')).toMatchObject({ state: 'ok', message: `listening on 127.0.0.1:${port}` });
    await new Promise((done) => taken.close(done));
    const gone = await look({}, { status: { ...running!, listeners: [{ name: 'c2s', address: '127.0.0.1', port }] } });
    expect(gone('port c2s')?.state).toBe('fail');
    const free = await look({ listen: { address: '127.0.0.1', c2s: port } });
    expect(free('port c2s')?.state).toBe('ok');
  });

  it('a database that does not answer fails, one in memory is a warning', async () => {
    const broken = await look({ listen: { c2s: 0 } }, { ping: () => Promise.reject(new Error('no route')) });
    expect(broken('database')).toMatchObject({ state: 'fail', message: 'embedded: no route' });
    expect((await look({ database: 'memory', listen: { c2s: 0 } }))('database')?.state).toBe('warn');
    expect((await look({ listen: { c2s: 0 } }))('database')?.state).toBe('ok');
  });

  it('Redis: away, full, far, forgetful, or without a database that machines can share', async () => {
    const input: ConfigInput = { redis: 'redis://127.0.0.1:6379', database: 'postgres://h/db' };
    const state = { ok: true, version: 'Valkey 8.0.1', latency: 0.4, persists: true };
    const well = await look(input, { status: running, redis: async () => state });
    expect(well('redis')).toMatchObject({ state: 'ok', message: 'Valkey 8.0.1, 0.4 ms' });
    for (const one of ['memory', 'persistence', 'machines']) expect(well(`redis ${one}`)).toBeUndefined();

    const away = await look(input, { status: running, redis: async () => ({ ok: false, problem: 'no route' }) });
    expect(away('redis')).toMatchObject({ state: 'fail', message: 'no route' });
    const far = await look(input, { status: running, redis: async () => ({ ...state, latency: 80 }) });
    expect(far('redis')?.state).toBe('warn');
    const eviction = { policy: 'allkeys-lru', limit: 1_000_000, used: 0 };
    const small = await look(input, { status: running, redis: async () => ({ ...state, eviction, persists: false }) });
    expect(small('redis memory')?.state).toBe('fail');
    expect(small('redis persistence')?.state).toBe('warn');
    const problem = 'takes no writes: OOM';
    const fix = 'raise its maxmemory';
    const full = await look(input, { status: running, redis: async () => ({ ...state, ok: false, problem, fix }) });
    expect(full('redis')).toMatchObject({ state: 'fail', message: `Valkey 8.0.1 ${problem}`, fix });
    for (const [used, wanted] of [
      [899_999, undefined],
      [900_000, 'warn'],
      [1_000_000, 'fail'],
    ] as const) {
      const room = { policy: 'noeviction', limit: 1_000_000, used };
      const check = await look(input, { status: running, redis: async () => ({ ...state, eviction: room }) });
      expect(check('redis room')?.state).toBe(wanted);
    }
    const embedded = await look({ redis: 'redis://127.0.0.1:6379' }, { status: running });
    expect(embedded('redis machines')?.state).toBe('warn');
    const processes = { redis: 'redis://127.0.0.1:6379', cluster: { processes: 2 } };
    expect((await look(processes, { status: running }))('redis machines')).toBeUndefined();
    expect((await look({}, { status: running }))('redis')).toBeUndefined();
  });

  it('data that everybody may read is a warning, a file in its place fails', async () => {
    mkdirSync(join(folder, 'open'));
    chmodSync(join(folder, 'open'), 0o755);
    expect((await look({ data: './open', listen: { c2s: 0 } }))('data')?.state).toBe('warn');
    chmodSync(join(folder, 'open'), 0o700);
    expect((await look({ data: './open', listen: { c2s: 0 } }))('data')?.state).toBe('ok');
    writeFileSync(join(folder, 'file'), '');
    expect((await look({ data: './file', listen: { c2s: 0 } }))('data')?.state).toBe('fail');
  });

  it('certificates: missing for a real domain, running out, expired', async () => {
    expect((await look({ hosts: { 'good.example': {} }, listen: { c2s: 0 } }))('certificate good.example')?.state).toBe(
      'warn',
    );
    const now = Date.now();
    const day = 86_400_000;
    const certificate = (days: number) => ({ host: 'localhost', issuer: 'x', expires: now + days * day });
    for (const [days, state] of [
      [90, 'ok'],
      [3.5, 'warn'],
      [-1, 'fail'],
    ] as const) {
      const check = await look({}, { now, status: { ...running!, certificates: [certificate(days)] } });
      expect(check('certificate localhost')?.state).toBe(state);
    }
  });

  it('the result reads as lines with remedies, and sums up', () => {
    const text = renderChecks([
      { state: 'ok', subject: 'a', message: 'fine' },
      { state: 'fail', subject: 'b', message: 'broken', fix: 'mend it' },
    ]);
    expect(text).toBe('ok    a: fine\nfail  b: broken\n      fix: mend it\n\n1 ok, 0 warn, 1 fail');
  });
});

describe('files', () => {
  it('are in a folder that all machines of a cluster have to share, which is said in one line', async () => {
    const alone = await look({ hosts: { 'good.example': {} } }, { status: running });
    expect(alone('files')).toMatchObject({ state: 'ok', message: `in ${join(folder, 'data', 'uploads')}` });
    const nodes: ConfigInput = { redis: 'redis://127.0.0.1:6379', hosts: { 'good.example': {} } };
    expect((await look(nodes, { status: running }))('files')).toMatchObject({
      state: 'warn',
      message: expect.stringContaining('which all machines of the cluster have to share'),
    });
  });

  it('are not looked for where there are none, or where S3 has them', async () => {
    const key = { endpoint: 'https://s3.example.org', bucket: 'files', 'access-key': 'a', 'secret-key': 'b' };
    for (const upload of [{ enabled: false }, { s3: key }]) {
      const check = await look({ upload, hosts: { 'good.example': {} } }, { status: running });
      expect(check('files')).toBeUndefined();
    }
  });
});

describe('relays for calls', () => {
  const secret = 'only-both-know';
  const turn = (host: string): ConfigInput => ({
    hosts: { localhost: {} },
    'external-services': [{ type: 'turn', host, secret }],
  });
  const relayed = (address: string, relays = true): Partial<DoctorParts> => ({
    turn: {
      bind: async () => ({ address: '192.0.2.9', port: 1 }),
      relay: async () => ({ relayed: { address, port: 5 }, relays }),
    },
  });

  it('one that relays is right, whatever its name', async () => {
    const check = await look(turn('host.good.example'), relayed('192.0.2.1'));
    expect(check('turn host.good.example:3478 udp')).toMatchObject({ state: 'ok', message: 'relays at 192.0.2.1:5' });
  });

  it('one behind NAT that tells its private address is of no use', async () => {
    const check = await look(turn('192.0.2.1'), relayed('10.1.2.3'));
    expect(check('turn 192.0.2.1:3478 udp')).toMatchObject({
      state: 'warn',
      fix: 'set external-ip=PUBLIC/PRIVATE in the configuration of coturn',
    });
  });

  it.each(['10.0.0.1', '172.31.0.1', '192.168.7.7', '100.64.0.1', '127.0.0.1', 'fd00::1', 'fe80::1', '::1'])(
    'clients elsewhere do not reach %s',
    async (address) => {
      const check = await look(turn(address), relayed(address));
      expect(check(`turn ${address}:3478 udp`)).toMatchObject({
        state: 'warn',
        message: `${address} is of a private network`,
      });
    },
  );

  it('a firewall before the ports of the relay is told from a relay that works', async () => {
    const check = await look(turn('192.0.2.1'), relayed('192.0.2.1', false));
    expect(check('turn 192.0.2.1:3478 udp')?.state).toBe('warn');
  });

  it('one that does not answer, and a name without an address, are failures', async () => {
    expect((await look(turn('192.0.2.1')))('turn 192.0.2.1:3478 udp')).toMatchObject({
      state: 'fail',
      message: 'asked',
    });
    expect((await look(turn('none.example')))('turn none.example:3478 udp')).toMatchObject({
      state: 'fail',
      message: 'none.example has no address',
    });
  });
});
