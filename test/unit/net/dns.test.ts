import { describe, expect, test } from 'vitest';
import { Dns, type NameServer, type SrvRecord, sortByWeight } from '../../../src/net/dns.ts';
import { FakeClock } from '../../kit/clock.ts';

const nothing = (code = 'ENOTFOUND'): Error => Object.assign(new Error(code), { code });

interface Zone {
  readonly srv?: Readonly<Record<string, readonly SrvRecord[] | string>>;
  readonly a?: Readonly<Record<string, readonly string[] | string>>;
  readonly aaaa?: Readonly<Record<string, readonly string[] | string>>;
  readonly ttl?: number;
}

/** A string in place of records is the code of an error. */
function zone({ srv = {}, a = {}, aaaa = {}, ttl = 300 }: Zone): NameServer & { readonly asked: string[] } {
  const asked: string[] = [];
  const find = <T>(kind: string, name: string, records: readonly T[] | string | undefined): readonly T[] => {
    asked.push(`${kind} ${name}`);
    if (records === undefined) throw nothing();
    if (typeof records === 'string') throw nothing(records);
    return records;
  };
  return {
    asked,
    srv: async (name) => ({ records: find('srv', name, srv[name]), ttl }),
    addresses: async (name, family) =>
      find<string>(String(family), name, (family === 4 ? a : aaaa)[name]).map((address) => ({ address, ttl })),
  };
}

const record = (name: string, port: number, priority = 0, weight = 0): SrvRecord => ({ name, port, priority, weight });

function dns(nameServer: NameServer, clock = new FakeClock()): Dns {
  return new Dns({ servers: [], clock, nameServer, random: () => 0 });
}

describe('where a domain is served', () => {
  test('records for STARTTLS and for direct TLS are one list, by priority', async () => {
    const servers = zone({
      srv: {
        '_xmpp-server._tcp.example.org': [record('b.example.org', 5269, 20), record('a.example.org', 5269, 5)],
        '_xmpps-server._tcp.example.org': [record('c.example.org', 5270, 10)],
      },
    });
    expect((await dns(servers).serversOf('example.org')).targets).toEqual([
      { host: 'a.example.org', port: 5269, isDirectTls: false },
      { host: 'c.example.org', port: 5270, isDirectTls: true },
      { host: 'b.example.org', port: 5269, isDirectTls: false },
    ]);
  });

  test('without records the domain itself is tried on port 5269', async () => {
    const service = await dns(zone({})).serversOf('example.org');
    expect(service.targets).toEqual([{ host: 'example.org', port: 5269, isDirectTls: false }]);
    expect(service.isTemporary).toBe(false);
  });

  test('records that cannot be looked up lead to the same, for the time being', async () => {
    const servers = zone({ srv: { '_xmpp-server._tcp.example.org': 'ESERVFAIL' } });
    const service = await dns(servers).serversOf('example.org');
    expect(service.targets).toHaveLength(1);
    expect(service.isTemporary).toBe(true);
    expect(service.why).toContain('name servers of the domain have failed');
  });

  test('the root as a target means that there is no such service, and nothing else is tried', async () => {
    const service = await dns(zone({ srv: { '_xmpp-server._tcp.example.org': [record('.', 0)] } })).serversOf(
      'example.org',
    );
    expect(service.targets).toEqual([]);
    const mixed = zone({
      srv: {
        '_xmpps-server._tcp.example.org': [record('', 0)],
        '_xmpp-server._tcp.example.org': [record('a.example.org', 5269)],
      },
    });
    expect((await dns(mixed).serversOf('example.org')).targets).toEqual([
      { host: 'a.example.org', port: 5269, isDirectTls: false },
    ]);
  });

  test('the root as a target of one kind says nothing of the other, where that could not be looked up', async () => {
    const servers = zone({
      srv: {
        '_xmpp-server._tcp.example.org': 'ESERVFAIL',
        '_xmpps-server._tcp.example.org': [record('', 0)],
      },
    });
    expect(await dns(servers).serversOf('example.org')).toMatchObject({ targets: [], isTemporary: true });
  });

  test('of a name that is too long to be asked for there is nothing', async () => {
    const name = `${'x'.repeat(60)}.example.org`;
    const servers = zone({
      srv: { [`_xmpp-server._tcp.${name}`]: 'EBADNAME', [`_xmpps-server._tcp.${name}`]: 'EBADNAME' },
    });
    const service = await dns(servers).serversOf(name);
    expect(service).toMatchObject({ targets: [{ host: name }], isTemporary: false });
  });

  test('names are asked for with A-labels', async () => {
    const servers = zone({});
    await dns(servers).serversOf('bücher.example');
    expect(servers.asked).toContain('srv _xmpp-server._tcp.xn--bcher-kva.example');
  });

  test('addresses as domains, and the machine itself, are never asked for', async () => {
    const servers = zone({});
    const one = dns(servers);
    expect((await one.serversOf('127.0.0.1')).targets[0]).toMatchObject({ host: '127.0.0.1', port: 5269 });
    expect((await one.serversOf('[::1]')).targets[0]).toMatchObject({ host: '::1', port: 5269 });
    expect((await one.serversOf('localhost')).targets[0]).toMatchObject({ host: 'localhost' });
    expect(await one.addresses('localhost', 4)).toEqual(['127.0.0.1']);
    expect(await one.addresses('::1', 6)).toEqual(['::1']);
    expect(await one.addresses('::1', 4)).toEqual([]);
    expect(servers.asked).toEqual([]);
  });
});

describe('what is kept', () => {
  test('addresses are kept for as long as they say', async () => {
    const clock = new FakeClock();
    const servers = zone({ a: { 'a.example.org': ['192.0.2.1'] }, ttl: 60 });
    const one = dns(servers, clock);
    for (let i = 0; i < 3; i++) expect(await one.addresses('a.example.org', 4)).toEqual(['192.0.2.1']);
    expect(servers.asked).toHaveLength(1);
    await clock.advance(61_000);
    await one.addresses('a.example.org', 4);
    expect(servers.asked).toHaveLength(2);
  });

  test('so are SRV records, and that there are none', async () => {
    const clock = new FakeClock();
    const servers = zone({ srv: { '_xmpp-server._tcp.example.org': [record('a.example.org', 5269)] }, ttl: 200 });
    const empty: NameServer = { ...servers, srv: async (name) => ({ ...(await servers.srv(name)), records: [] }) };
    for (const [nameServer, domain] of [
      [servers, 'example.org'],
      [empty, 'example.org'],
    ] as const) {
      servers.asked.length = 0;
      const one = dns(nameServer, clock);
      const question = `srv _xmpp-server._tcp.${domain}`;
      const times = (): number => servers.asked.filter((asked) => asked === question).length;
      await one.serversOf(domain);
      await clock.advance(199_000);
      await one.serversOf(domain);
      expect(times()).toBe(1);
      await clock.advance(1_000);
      await one.serversOf(domain);
      expect(times()).toBe(2);
    }
  });

  test('that there is nothing is kept too, and failures hardly', async () => {
    const clock = new FakeClock();
    const servers = zone({ a: { 'broken.example.org': 'ESERVFAIL' } });
    const one = dns(servers, clock);
    expect(await one.addresses('none.example.org', 4)).toEqual([]);
    await clock.advance(20_000);
    await one.addresses('none.example.org', 4);
    expect(servers.asked).toHaveLength(1);
    await expect(one.addresses('broken.example.org', 4)).rejects.toThrow('have failed');
    await clock.advance(3_000);
    await expect(one.addresses('broken.example.org', 4)).rejects.toThrow('have failed');
    expect(servers.asked).toHaveLength(3);
  });

  test('what has led nowhere is asked for again', async () => {
    const servers = zone({ srv: { '_xmpp-server._tcp.example.org': [record('a.example.org', 5269)] } });
    const one = dns(servers);
    await one.serversOf('example.org');
    await one.serversOf('example.org');
    expect(servers.asked).toHaveLength(2);
    one.forget('example.org');
    await one.serversOf('example.org');
    expect(servers.asked).toHaveLength(4);
  });

  test('many who ask at once make one question', async () => {
    const servers = zone({ a: { 'a.example.org': ['192.0.2.1'] } });
    const one = dns(servers);
    await Promise.all(Array.from({ length: 10 }, () => one.addresses('a.example.org', 4)));
    expect(servers.asked).toHaveLength(1);
  });

  test('name servers that never answer are given up', async () => {
    const clock = new FakeClock();
    const never = (): Promise<never> => new Promise(() => {});
    const one = dns({ srv: never, addresses: never }, clock);
    const service = one.serversOf('example.org');
    await clock.advance(5_000);
    expect(await service).toMatchObject({ isTemporary: true, targets: [{ host: 'example.org' }] });
  });
});

describe('the choice by weight', () => {
  test('comes out after the weights', () => {
    let seed = 42;
    const random = (): number => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed / 2147483648;
    };
    const records = [record('heavy', 1, 0, 90), record('light', 1, 0, 10)];
    let heavyFirst = 0;
    for (let i = 0; i < 2000; i++) if (sortByWeight(records, random)[0]?.name === 'heavy') heavyFirst++;
    expect(heavyFirst / 2000).toBeGreaterThan(0.85);
    expect(heavyFirst / 2000).toBeLessThan(0.95);
  });

  test('loses and invents nothing, whatever is drawn', () => {
    const records = [record('a', 1, 1, 0), record('b', 2, 0, 5), record('c', 3, 0, 0), record('d', 4, 1, 65535)];
    for (const drawn of [0, 0.5, 0.999999]) {
      const sorted = sortByWeight(records, () => drawn);
      expect(sorted.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c', 'd']);
      expect(sorted.map(({ priority }) => priority)).toEqual([0, 0, 1, 1]);
    }
  });
});
