import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  findDataFolder,
  hostSettings,
  loadConfig,
  moduleSettings,
  parseConfig,
  validateModules,
} from '../../../src/config/load.ts';
import { ConfigError, formatProblem, nearest } from '../../../src/config/problems.ts';
import { duration, durationOrForever, parseBytes, parseDuration, secret } from '../../../src/config/schema.ts';
import type { Config } from '../../../src/config/server.ts';
import { serviceHosts } from '../../../src/config/services.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley config '));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function load(text: string, environment: Record<string, string> = {}): Config {
  writeFileSync(join(folder, 'parley.yaml'), text);
  return loadConfig({ folder, environment });
}

/** The problems of a file, one text each. */
function problemsOf(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(formatProblem);
    throw error;
  }
  return [];
}
const wrong = (text: string, environment?: Record<string, string>): string[] =>
  problemsOf(() => load(text, environment));

describe('defaults', () => {
  it('an empty file serves localhost on loopback with an embedded database', () => {
    const config = load('');
    expect(Object.keys(config.hosts)).toEqual(['localhost']);
    expect(config.database).toBe('embedded');
    expect(config.redis).toBeNull();
    expect(config.registration).toBe('invite');
    expect(config.listen.c2s.port).toBe(5222);
    expect(config.listen.c2s.address).toContain('127.0.0.1');
    expect(config.data).toBe(join(folder, 'parley-data'));
    expect(config.limits['stanza-bytes']).toBe(262_144);
    expect(config.limits['stanza-bytes-before-auth']).toBe(10_000);
    expect(config.limits['auth-timeout']).toBe(30_000);
  });

  it('a real domain listens everywhere, but plain HTTP and components stay on loopback', () => {
    const { listen } = load('hosts: { example.org: }');
    expect(['::', '0.0.0.0']).toContain(listen.c2s.address[0]);
    expect(listen.http.address).toContain('127.0.0.1');
    expect(listen.component.address).toContain('127.0.0.1');
  });

  it('an address holds for all listeners when it is on loopback, and one of its own for a single one', () => {
    const { listen } = load(
      'listen: { address: 127.0.0.5, http: { port: 80, address: 0.0.0.0 }, https: null, s2s: 0 }',
    );
    expect(listen.c2s.address).toEqual(['127.0.0.5']);
    expect(listen.component.address).toEqual(['127.0.0.5']);
    expect(listen.http).toMatchObject({ port: 80, address: ['0.0.0.0'] });
    expect(listen.https.port).toBeNull();
    expect(listen.s2s.port).toBe(0);
  });

  it('groups that hold nothing but comments are empty groups', () => {
    const config = load('limits:\n  # enabled: false\nlisten:\n');
    expect(config.limits.enabled).toBe(true);
    expect(config.listen.c2s.port).toBe(5222);
  });
});

it('Redis may be watched by Sentinel, or be a Redis Cluster', () => {
  const sentinel = load('redis: { sentinels: ["redis://:one@10.0.0.1:26379"], name: chat, password: two }').redis;
  expect(sentinel).toEqual({ sentinels: ['redis://:one@10.0.0.1:26379'], name: 'chat', password: 'two' });
  expect(load('redis: { cluster: ["rediss://10.0.0.1"] }').redis).toEqual({ cluster: ['rediss://10.0.0.1'] });
});

it('every section of the file is known, those of later features too', () => {
  const config = load(`
hosts:
  example.org: {}
  example.net: { registration: closed }
admins: [admin@example.org]
data: ./parley-data
database: embedded
redis: redis://127.0.0.1:6379
cluster: { processes: auto }
listen:
  address: ["127.0.0.1"]
  c2s: 5222
  c2s-tls: 5223
  s2s: 5269
  s2s-tls: 5270
  component: 5347
  http: 5280
  https: 5443
tls:
  certificates: ./certs
  ca: ./extra-ca.pem
  required: true
registration: invite
limits: { enabled: true }
dns: { servers: ["127.0.0.1:5353", "[::1]:53", "192.0.2.1"] }
s2s: { enabled: true, require-valid-certificates: false }
components: { irc.example.org: { secret: "..." } }
external-services:
  - { type: turn, transport: udp, host: turn.example.org, port: 3478, secret: "..." }
modules:
  mam: { retention: 1y }
log: { level: info, format: auto, modules: { s2s: debug } }
contacts: { abuse: "mailto:abuse@example.org", admin: ["xmpp:a@example.org", "https://example.org/"] }
plugins: [./mine.js]
`);
  expect(config.cluster.processes).toBe('auto');
  expect(config.contacts.abuse).toEqual(['mailto:abuse@example.org']);
  expect(config['external-services'][0]).toMatchObject({ type: 'turn', ttl: 86_400_000, username: null });
  expect(config.source.warnings).toEqual([]);
});

describe('the data folder', () => {
  it('is found in a file that is wrong elsewhere, but not in one that cannot be read', () => {
    const find = (text: string, environment: Record<string, string> = {}) => {
      writeFileSync(join(folder, 'parley.yaml'), text);
      return findDataFolder({ folder, environment });
    };
    expect(find('nonsense: 1\ndata: here')).toBe(join(folder, 'here'));
    expect(find('nonsense: 1')).toBe(join(folder, 'parley-data'));
    expect(find('nonsense: 1\ndata: here', { PARLEY_DATA: '/there' })).toBe('/there');
    expect(find('data: ${' + 'NOT_SET}')).toBeUndefined();
    expect(find('a: [')).toBeUndefined();
    expect(findDataFolder({ folder, file: 'none.yaml', environment: {} })).toBeUndefined();
  });
});

describe('problems', () => {
  it('are all told at once, in the order of the file, with the place and a remedy', () => {
    expect(
      wrong(`hosts:
  example.org:
    registration: closd
    listen: {}
  "bad domain": {}
admin: [x@y]
admins: [foo]
listen:
  c2s: 99999
  c2ss: 3
limits:
  auth-timeout: 30
  idle-timeout: 5 mins
  stanza-bytes: 256 kib
log: { level: verbose }
tls: { required: maybe }
components: { irc.example.org: {} }
contacts: { abuse: a@b.c }
authentication: anonymous
`),
    ).toEqual([
      'parley.yaml:3:19 hosts.example.org.registration: "closd" is not one of open, invite, closed. Did you mean "closed"?',
      'parley.yaml:4:5 hosts.example.org.listen: is a setting of the whole server; it belongs at the top level, not beneath a host',
      'parley.yaml:5:3 hosts.bad domain: "bad domain" is not a domain. Try "example.org".',
      'parley.yaml:6:1 admin: there is no such setting. Did you mean "admins"?',
      'parley.yaml:7:10 admins[0]: "foo" is not an account: that is name@domain, and this a domain only. Try "foo@example.org".',
      'parley.yaml:9:8 listen.c2s: 99999 is too large: it must be at most 65535',
      'parley.yaml:10:3 listen.c2ss: there is no such setting. Did you mean "c2s"?',
      'parley.yaml:12:17 limits.auth-timeout: 30 has no unit. Try "30s".',
      'parley.yaml:13:17 limits.idle-timeout: "5 mins" is not a duration. Try "5m".',
      'parley.yaml:14:17 limits.stanza-bytes: "256 kib" is not a number of bytes. Try "256KiB".',
      'parley.yaml:15:15 log.level: "verbose" is not one of debug, info, warn, error',
      'parley.yaml:16:18 tls.required: must be true or false, not "maybe"',
      'parley.yaml:17:32 components.irc.example.org.secret: a secret must be text; put it in quotes, or write "file:PATH"',
      'parley.yaml:18:20 contacts.abuse: "a@b.c" is not a URI. Try "xmpp:a@b.c" or "mailto:a@b.c".',
      'parley.yaml:19:1 authentication: belongs beneath a host',
    ]);
  });

  it.each([
    ['a: 1\n b: 2', /^parley\.yaml:\d+:\d+: /],
    ['log: {}\nlog: {}', /^parley\.yaml:2:1: "log" is there twice in the same group$/],
    ['hosts:\n\texample.org: {}', /^parley\.yaml:2:\d+: a tab is used to indent; YAML wants spaces$/],
    ['- a', /^parley\.yaml:1:1: the file must hold settings \("name: value"\), not a list$/],
    ['just text', /must hold settings/],
  ])('syntax: %j', (text, expected) => {
    expect(wrong(text)[0]).toMatch(expected);
  });

  it.each([
    ['hosts: {}', 'hosts: there is no domain to serve. Try "localhost: {}".'],
    [
      'hosts: { Example.org: {}, example.ORG: {} }',
      '"example.ORG" is the same domain as "example.org", which is there already',
    ],
    ['cluster: { processes: 2 }', 'cluster.processes: more than 1 needs "redis" to be set'],
    ['cluster: { processes: auto }', 'cluster.processes: "auto" needs "redis" to be set'],
    ['cluster: { processes: many }', 'cluster.processes: "many" is not a number of processes.'],
    ['components: { localhost: { secret: x } }', 'components.localhost: is served by this server itself (see "hosts")'],
    [
      'components: { c.test: { secret: x, privileges: { presence: roster } } }',
      'components.c.test.privileges.presence: "roster" needs the privilege to read rosters. Try roster: get.',
    ],
    [
      'components: { c.test: { secret: x, privileges: { iq: [{ namespace: a, type: get }, { namespace: a, type: set }] } } }',
      'components.c.test.privileges.iq[1].namespace: is listed twice. Try type: both.',
    ],
    [
      'components: { c.test: { secret: x, privileges: { iq: [{ namespace: "urn:xmpp:privilege:2", type: get }] } } }',
      'components.c.test.privileges.iq[0].namespace: cannot be granted: privileges are not passed on',
    ],
    [
      'components: { c.test: { secret: x, hosts: [nowhere.test] } }',
      'components.c.test.hosts[0]: "nowhere.test" is not served here (see "hosts")',
    ],
    [
      'components: { c.test: { secret: x, delegate: [{ namespace: "urn:xmpp:delegation:2" }] } }',
      'components.c.test.delegate[0].namespace: cannot be delegated: it is what delegation is done with',
    ],
    [
      'components: { c.test: { secret: x, delegate: [{ namespace: "urn:xmpp:delegation:2:bare:x" }] } }',
      'components.c.test.delegate[0].namespace: there is no such special namespace. Try "urn:xmpp:delegation:2:bare:disco#info:*" or "urn:xmpp:delegation:2:bare:disco#items:*".',
    ],
    [
      'components: { c.test: { secret: x, delegate: [{ namespace: "http://jabber.org/protocol/disco#items" }] } }',
      'components.c.test.delegate[0].namespace: is answered by the server itself. Try "urn:xmpp:delegation:2:bare:disco#items:*".',
    ],
    [
      'components: { c.test: { secret: x, delegate: [{ namespace: "jabber:client" }] } }',
      'components.c.test.delegate[0].namespace: belongs to the stream, and is never asked of the host or an account',
    ],
    [
      'components: { c.test: { secret: x, delegate: [{ namespace: a }] }, d.test: { secret: x, delegate: [{ namespace: a, attributes: [b] }] } }',
      'components.d.test.delegate[0].namespace: is delegated to c.test already; a namespace has one component for each host',
    ],
    ['hosts: { example.org: {} }\ntls: { required: false }', 'tls.required: false would send passwords in clear'],
    ['listen: { s2s: 5222 }', 'listen.s2s: port 5222 is that of listen.c2s already'],
    ['listen: { address: [localhost] }', 'listen.address[0]: "localhost" is not an IP address. Try "127.0.0.1".'],
    ['dns: { servers: [dns.example] }', 'dns.servers[0]: "dns.example" is not the address of a resolver.'],
    [
      'external-services: [{ type: turns, host: a.example, secret: a, password: b }]',
      'has both a secret and a fixed password',
    ],
    ['external-services: [{ type: turn, host: a.example, password: b }]', 'has a password, but no username'],
    ['external-services: [{ type: turn, host: a.example, username: b }]', 'has a username, but no password'],
    [
      'hosts: { b.example: { external-services: [{ type: turn, host: a.example }] } }',
      'hosts.b.example.external-services[0]: needs credentials',
    ],
    [
      'external-services: [{ type: fax, host: a.example }]',
      'external-services[0].type: "fax" is not one of stun, stuns, turn, turns',
    ],
    ['external-services: [{ type: turn }]', 'external-services[0].host: is missing; it must be text'],
    ['modules: { mam: 5 }', 'modules.mam: 5 is not the settings of a module.'],
    ['hosts: [example.org]', 'hosts: must be a group of settings, not a list'],
    ['limits: { stanzas-burst: 0 }', 'limits.stanzas-burst: 0 is too small: it must be above 0'],
    [
      'redis: { cluster: [http://x] }',
      'redis.cluster[0]: "http://x" is not an address of that kind. Try "redis://127.0.0.1:6379".',
    ],
    [
      'redis: 6379',
      'redis: not an address of Redis. Try "redis://127.0.0.1:6379", { sentinels: ["redis://127.0.0.1:26379"], name: "mymaster" } or { cluster: ["redis://127.0.0.1:6379"] }.',
    ],
    ['redis: http://x', 'redis: "http://x" is not an address of that kind. Try "redis://127.0.0.1:6379".'],
    [
      'redis: redis://h:6379/chat',
      'redis: ends in something else than the number of a database. Try "redis://127.0.0.1:6379/1".',
    ],
  ])('%s', (text, expected) => {
    expect(wrong(text).join('\n')).toContain(expected);
  });

  it('a database that is none is told without its password', () => {
    const [problem] = wrong('database: postgre://me:geheim@db/x');
    expect(problem).toContain('postgres://user:password@host:5432/name');
    expect(problem).not.toContain('geheim');
  });

  it('a file that was named must be there; one that was not named need not', () => {
    expect(problemsOf(() => loadConfig({ file: 'none.yaml', folder, environment: {} }))).toEqual([
      'none.yaml: there is no such file',
    ]);
    expect(problemsOf(() => loadConfig({ file: '.', folder, environment: {} }))).toEqual([`${folder}: it is a folder`]);
    expect(loadConfig({ folder: mkdtempSync(join(folder, 'empty-')), environment: {} }).source.file).toBeUndefined();
  });

  it('administrators of domains that are not served are a warning', () => {
    expect(load('admins: [me@locahost]').source.warnings.map(formatProblem)).toEqual([
      'parley.yaml:1:10 admins[0]: "locahost" is not served here. Did you mean "localhost"?',
    ]);
  });
});

describe('the environment', () => {
  it('overrides the file, by groups and by single settings', () => {
    const config = load('registration: open\nlisten: { c2s: 1234, s2s: 1235 }', {
      PARLEY_LISTEN__C2S: '0',
      PARLEY_LISTEN__C2S_TLS: 'null',
      PARLEY_LIMITS: '{ enabled: false }',
      PARLEY_LIMITS__IDLE_TIMEOUT: '1h30m',
      PARLEY_ADMINS: 'a@localhost, b@localhost',
      PARLEY_MODULES__LAST_ACTIVITY: 'false',
      PARLEY_MODULES__MAM__RETENTION: '1y',
      PARLEY_REDIS: '',
    });
    expect(config.listen.c2s.port).toBe(0);
    expect(config.listen['c2s-tls'].port).toBeNull();
    expect(config.listen.s2s.port).toBe(1235);
    expect(config.registration).toBe('open');
    expect(config.limits).toMatchObject({ enabled: false, 'idle-timeout': 5_400_000 });
    expect(config.admins).toEqual(['a@localhost', 'b@localhost']);
    expect(config.modules).toEqual({ 'last-activity': false, mam: { retention: '1y' } });
    expect(config.redis).toBeNull();
  });

  it('names hosts by a list or by YAML, and settings beneath them with _ for what a name cannot hold', () => {
    const config = load('hosts: { example.org: { registration: open }, gone.example: {} }', {
      PARLEY_HOSTS: 'example.org, my-example.net',
      PARLEY_HOSTS__MY_EXAMPLE_NET__REGISTRATION: 'closed',
    });
    expect(Object.keys(config.hosts)).toEqual(['example.org', 'my-example.net']);
    expect(hostSettings(config, 'example.org').registration).toBe('open');
    expect(hostSettings(config, 'my-example.net').registration).toBe('closed');
    expect(Object.keys(load('', { PARLEY_HOSTS: '{ a.example: { registration: open } }' }).hosts)).toEqual([
      'a.example',
    ]);
  });

  it('texts stay texts, even when they look like numbers', () => {
    const config = load('components: { irc.localhost: { secret: old } }', {
      PARLEY_COMPONENTS__IRC_LOCALHOST__SECRET: '0123',
    });
    expect(config.components['irc.localhost']?.secret).toBe('0123');
  });

  it('problems name the variable', () => {
    expect(
      wrong('', {
        PARLEY_LISTEN__HTTP: 'x',
        PARLEY_LISTEN__C2SS: '3',
        PARLEY_HOSTS__NOWHERE__REGISTRATION: 'open',
        PARLEY_DATA__X: 'y',
        PARLEY_LOG: '{ level: ',
      }),
    ).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^PARLEY_LOG log: cannot be read: /),
        'PARLEY_DATA__X data: "data" is a single value and has nothing in it',
        'PARLEY_HOSTS__NOWHERE__REGISTRATION: no domain in "hosts" is written NOWHERE',
        'PARLEY_LISTEN__C2SS: there is no setting "listen.c2ss". Did you mean PARLEY_LISTEN__C2S?',
        expect.stringMatching(/^PARLEY_LISTEN__HTTP listen\.http: "x" is not a port\./),
      ]),
    );
  });

  it('what others put there is at most a warning', () => {
    const config = load('', {
      PARLEY_SERVICE_HOST: '10.0.0.1',
      PARLEY_PORT_5222_TCP: 'tcp://10.0.0.1:5222',
      PARLEY_DATABSE: 'x',
    });
    expect(config.source.warnings.map(formatProblem)).toEqual([
      'PARLEY_DATABSE: there is no setting "databse". Did you mean PARLEY_DATABASE?',
    ]);
  });

  it('PARLEY_CONFIG names the file', () => {
    writeFileSync(join(folder, 'other.yaml'), 'registration: closed');
    expect(loadConfig({ folder, environment: { PARLEY_CONFIG: 'other.yaml' } }).registration).toBe('closed');
  });
});

describe('references', () => {
  it('variables and files stand for values; relative files count from the folder of the configuration', () => {
    writeFileSync(join(folder, 'component-secret'), 'from a file\n');
    const config = load(
      `database: postgres://me:\${DB_PASSWORD}@db/x
data: \${HOME_OF_DATA:-elsewhere}
components:
  a.localhost: { secret: "file:component-secret" }
  b.localhost: { secret: "$\${literal}" }
plugins: [./mine.js, a-package]
tls: { certificates: certs }`,
      { DB_PASSWORD: 'pass' },
    );
    expect(config.database).toBe('postgres://me:pass@db/x');
    expect(config.data).toBe(join(folder, 'elsewhere'));
    expect(config.components['a.localhost']?.secret).toBe('from a file');
    expect(config.components['b.localhost']?.secret).toBe(`\${literal}`);
    expect(config.plugins).toEqual([join(folder, 'mine.js'), 'a-package']);
    expect(config.tls.certificates).toBe(join(folder, 'certs'));
  });

  it('what they refer to must be there', () => {
    const problems = wrong(
      'redis: redis://:$' +
        '{NOT_SET}@h\ncomponents: { a.localhost: { secret: "file:none" }, b.localhost: { secret: "credential:x" } }',
    );
    expect(problems).toEqual([
      'parley.yaml:1:8 redis: the environment variable NOT_SET is not set',
      `parley.yaml:2:38 components.a.localhost.secret: ${join(folder, 'none')} cannot be read (ENOENT)`,
      'parley.yaml:2:76 components.b.localhost.secret: there are no credentials: CREDENTIALS_DIRECTORY is not set; use "file:PATH"',
    ]);
  });

  it('systemd credentials are read from their folder', () => {
    writeFileSync(join(folder, 'cred'), 's3cret');
    const config = load('components: { b.localhost: { secret: "credential:cred" } }', {
      CREDENTIALS_DIRECTORY: folder,
    });
    expect(config.components['b.localhost']?.secret).toBe('s3cret');
  });
});

describe('hosts', () => {
  it('override global settings: groups are joined, lists and single values replaced', () => {
    const config = load(`
admins: [a@localhost]
registration: open
limits: { stanzas-burst: 7, sessions-per-account: 3 }
modules: { version: false, mam: { retention: 1y, deep: { a: 1, b: 2 } }, ping: false }
hosts:
  localhost: {}
  EXAMPLE.org:
    admins: [b@example.org]
    limits: { stanzas-burst: 9 }
    modules: { version: true, mam: { deep: { b: 3 } }, ping: true }
    authentication: anonymous
`);
    expect(hostSettings(config, 'localhost')).toMatchObject({
      admins: ['a@localhost'],
      registration: 'open',
      authentication: 'accounts',
    });
    const own = hostSettings(config, 'example.org');
    expect(own.admins).toEqual(['b@example.org']);
    expect(own.registration).toBe('open');
    expect(own.limits).toMatchObject({ 'stanzas-burst': 9, 'sessions-per-account': 3, 'stanza-bytes': 262_144 });
    expect(own.modules).toEqual({ version: true, mam: { retention: '1y', deep: { a: 1, b: 3 } }, ping: true });
    expect(own.authentication).toBe('anonymous');
    expect(() => hostSettings(config, 'constructor')).toThrow('constructor is not served');
  });
});

describe('rooms', () => {
  const roomsOf = (text: string): unknown =>
    [...serviceHosts(load(text).hosts)].flatMap(([domain, { kind, parent }]) =>
      kind === 'rooms' ? [[domain, parent]] : [],
    );

  it('are below each host, by a name that may be changed for all hosts or for one', () => {
    expect(roomsOf('hosts: { a.test: {}, b.test: {} }')).toEqual([
      ['groups.a.test', 'a.test'],
      ['groups.b.test', 'b.test'],
    ]);
    expect(
      roomsOf('rooms: { domain: "Chat.*" }\nhosts: { a.test: {}, b.test: { rooms: { domain: talk.test } } }'),
    ).toEqual([
      ['chat.a.test', 'a.test'],
      ['talk.test', 'b.test'],
    ]);
  });

  it('can be switched off, for all hosts or for one, and on again', () => {
    expect(roomsOf('hosts: { a.test: { rooms: false }, b.test: {} }')).toEqual([['groups.b.test', 'b.test']]);
    expect(roomsOf('rooms: false\nhosts: { a.test: { rooms: true }, b.test: {} }')).toEqual([
      ['groups.a.test', 'a.test'],
    ]);
    expect(roomsOf('rooms: { enabled: false }\nhosts: { a.test: {} }')).toEqual([]);
  });

  it('are not below an address, where there are no names', () => {
    expect(roomsOf('hosts: { "192.0.2.1": {}, "[::1]": {} }')).toEqual([]);
  });

  it('have a domain to themselves', () => {
    expect(wrong('rooms: { domain: "a b" }')).toEqual([
      expect.stringContaining('"a b" is not a domain. Try "groups.*", where "*" stands for the domain of the host'),
    ]);
    expect(wrong('hosts: { a.test: {}, groups.a.test: {} }')).toEqual([
      expect.stringContaining('groups.a.test is served for accounts'),
    ]);
    expect(wrong('hosts: { a.test: {} }\ncomponents: { groups.a.test: { secret: x } }')).toEqual([
      expect.stringContaining('groups.a.test is that of a component'),
    ]);
    expect(wrong('rooms: { domain: talk.test }\nhosts: { a.test: {}, b.test: {} }')).toEqual([
      expect.stringContaining('talk.test is that of the rooms of a.test'),
    ]);
  });
});

describe('publish-subscribe', () => {
  const servicesOf = (text: string): unknown =>
    [...serviceHosts(load(text).hosts)].map(([domain, { kind, parent }]) => [domain, kind, parent]);

  it('is below each host beside its rooms, by a name that may be changed, or not at all', () => {
    expect(servicesOf('hosts: { a.test: {} }')).toEqual([
      ['groups.a.test', 'rooms', 'a.test'],
      ['pubsub.a.test', 'pubsub', 'a.test'],
      ['upload.a.test', 'upload', 'a.test'],
    ]);
    expect(
      servicesOf(
        'rooms: false\nupload: false\nhosts: { a.test: { pubsub: { domain: "News.*" } }, b.test: { pubsub: false } }',
      ),
    ).toEqual([['news.a.test', 'pubsub', 'a.test']]);
    expect(
      servicesOf('pubsub: false\nrooms: false\nupload: false\nhosts: { a.test: {}, b.test: { pubsub: true } }'),
    ).toEqual([['pubsub.b.test', 'pubsub', 'b.test']]);
  });

  it('has a domain to itself', () => {
    expect(wrong('pubsub: { domain: "a b" }')).toEqual([
      expect.stringContaining('"a b" is not a domain. Try "pubsub.*", where "*" stands for the domain of the host'),
    ]);
    expect(wrong('hosts: { a.test: { pubsub: { domain: "groups.*" } } }')).toEqual([
      expect.stringContaining(
        'groups.a.test is that of the rooms of a.test. Give another domain, or "pubsub: false" for no publish-subscribe.',
      ),
    ]);
    expect(wrong('hosts: { a.test: {} }\ncomponents: { pubsub.a.test: { secret: x } }')).toEqual([
      expect.stringContaining('pubsub.a.test is that of a component'),
    ]);
  });
});

describe('modules', () => {
  const definitions = new Map<string, z.ZodType | undefined>([
    [
      'mam',
      z.strictObject({
        keep: duration().prefault('1y'),
        key: secret().optional(),
        deep: z.strictObject({ n: z.int() }).prefault({ n: 1 }),
      }),
    ],
    ['ping', undefined],
  ]);
  const check = (text: string, environment?: Record<string, string>): string[] =>
    validateModules(load(text, environment), definitions).map(formatProblem);

  it('settings are checked by their own schema, with places and nearest names', () => {
    expect(
      check(`modules:
  mam: { keep: 2y, kep: 1y }
  pong: {}
  ping: { loud: true }
hosts:
  example.org:
    modules:
      mam:
        keep: 1 yaer
        deep: { n: x }
  example.net: { modules: { mam: { key: "file:none" } } }
`).map((text) => text.replace(folder, '')),
    ).toEqual([
      'parley.yaml:2:20 modules.mam.kep: there is no such setting. Did you mean "keep"?',
      'parley.yaml:3:3 modules.pong: there is no such module. Did you mean "ping"?',
      'parley.yaml:4:11 modules.ping.loud: the module has no settings',
      'parley.yaml:9:15 hosts.example.org.modules.mam.keep: "1 yaer" is not a duration. Try "1y".',
      'parley.yaml:10:20 hosts.example.org.modules.mam.deep.n: must be a number, not "x"',
      'parley.yaml:11:41 hosts.example.net.modules.mam.key: /none cannot be read (ENOENT)',
    ]);
  });

  it('are parsed with defaults and references for one host', () => {
    const config = load(
      'modules: { mam: { key: "$' + '{KEY}" } }\nhosts: { a.example: {}, b.example: { modules: { mam: false } } }',
      { KEY: 'k' },
    );
    expect(moduleSettings(config, 'a.example', 'mam', definitions.get('mam'))).toEqual({
      keep: 31_536_000_000,
      key: 'k',
      deep: { n: 1 },
    });
    expect(moduleSettings(config, 'b.example', 'mam', definitions.get('mam'))).toBe(false);
    expect(moduleSettings(config, 'a.example', 'ping', undefined)).toEqual({});
  });
});

describe('parseConfig', () => {
  it('takes the form of the file, and switches off the listeners that are not named where some are', () => {
    const config = parseConfig({ hosts: { 't.test': {} }, database: 'memory', listen: { c2s: 0, http: 0 } });
    expect(config.listen.c2s.port).toBe(0);
    expect(config.listen.https.port).toBeNull();
    expect(parseConfig({}).listen.https.port).toBe(5443);
  });

  it('tells problems by their paths', () => {
    expect(problemsOf(() => parseConfig({ registration: 'never' as 'open', data: 5 as never }))).toEqual([
      'data: 5 is not a path',
      'registration: "never" is not one of open, invite, closed',
    ]);
  });

  it('keeps where values came from out of what is listed', () => {
    expect(Object.keys(parseConfig({}))).not.toContain('source');
    expect(JSON.stringify(parseConfig({}))).not.toContain('originOf');
  });
});

describe('types', () => {
  it.each([
    ['1y', 31_536_000_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1.5d', 129_600_000],
    ['0s', 0],
  ] as const)('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms));
  it.each(['', '5', '5 m', 'm', '1month', '-1s', '1h 2m'])('%j is no duration', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );
  it.each([
    ['10kB', 10_000],
    ['256KiB', 262_144],
    ['1.5MB', 1_500_000],
    ['12', 12],
    ['3B', 3],
  ] as const)('%s is %i bytes', (text, size) => expect(parseBytes(text)).toBe(size));
  it.each(['', '10k', '10kib', 'kB', '-1kB'])('%j is no size', (text) => expect(parseBytes(text)).toBeUndefined());
  it('a duration may be without end where that makes sense', () => {
    expect(durationOrForever().parse('forever')).toBe(Number.POSITIVE_INFINITY);
    expect(durationOrForever().parse('2d')).toBe(172_800_000);
    expect(durationOrForever().safeParse('never').error?.issues[0]?.message).toBe(
      '"never" is not a duration. Try "5m", or "forever".',
    );
    expect(duration().safeParse('forever').success).toBe(false);
  });
  it('the nearest name is one that a slip of the hand away', () => {
    expect(nearest('regsitration', ['registration', 'redis'])).toBe('registration');
    expect(nearest('c2s_tls', ['c2s', 'c2s-tls'])).toBe('c2s-tls');
    expect(nearest('zebra', ['registration', 'redis'])).toBeUndefined();
  });
});
