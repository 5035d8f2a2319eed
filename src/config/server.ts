// The server's own settings: every key of parley.yaml, its type, its default, and what it means. The JSON Schema, the
// documentation and the example file are generated from here (`npm run docs`).
import { isIP } from 'node:net';
import { z } from 'zod';
import { redisDatabase } from '../net/redis-target.ts';
import { components } from './components.ts';
import { externalServices } from './external-services.ts';
import { s2s } from './federation.ts';
import { limits } from './limits.ts';
import type { ConfigSource } from './problems.ts';
import { proxy } from './proxy.ts';
import { contacts, web } from './public.ts';
import { roles } from './roles.ts';
import { rooms } from './rooms.ts';
import { addresses, bytes, duration, jid, listener, maskUrl, path, quote, secret, url } from './schema.ts';
import { pubsub } from './services.ts';
import { upload } from './upload.ts';

const restart = true;

const streamManagement = z
  .strictObject({
    'resume-timeout': duration().prefault('10m').meta({
      description:
        'How long a client that lost its connection can come back to its session; until then it counts as online. `0s`: not at all.',
    }),
    'ack-timeout': duration().prefault('1m').meta({
      description: 'A client that does not say for so long what it has received counts as cut off.',
    }),
    'queue-stanzas': z.int().positive().prefault(5000).meta({
      description: 'Stanzas that may wait for one client until it has acknowledged them; beyond it, its session ends.',
    }),
    'queue-bytes': bytes().prefault('8MiB').meta({ description: 'The same, in characters of XML.' }),
    'hibernating-bytes': bytes().prefault('256MiB').meta({
      description:
        'What all sessions that wait for their clients to come back may take of the memory; beyond it the largest of them end early.',
    }),
    location: z
      .string()
      .regex(/^(\[[0-9a-f:.]+\]|[^\s:[\]]+)(:\d{1,5})?$/i, {
        error: (issue) => `${quote(issue.input)} is not a place. Try "xmpp2.example.org:5222" or "[2001:db8::1]:5222".`,
      })
      .nullable()
      .prefault(null)
      .meta({ description: 'Where clients should try to come back to first: `host:port`.' }),
  })
  .prefault({})
  .meta({ description: 'Acknowledgements, and sessions that can be resumed (XEP-0198).' });

const clients = z
  .strictObject({
    'token-lifetime': duration().prefault('21d').meta({
      description:
        'How long a client can log in with a token in place of the password (XEP-0484); every login can renew it. `0s`: no tokens.',
    }),
    'token-rotation': duration()
      .prefault('1d')
      .meta({ description: 'A token that is older is replaced when it is used.' }),
    forget: duration().prefault('90d').meta({
      description: 'After how long a client that did not come back is no longer listed (XEP-0494).',
    }),
    names: z
      .boolean()
      .prefault(true)
      .meta({ description: 'Whether the names of software and devices are kept, for the list of clients.' }),
    'per-account': z.int().positive().prefault(50).meta({
      description: 'Clients of one account that are remembered; beyond it, the one not seen for longest goes.',
    }),
  })
  .prefault({})
  .meta({ description: 'What is remembered of the clients that log in, each of which its owner can see and revoke.' });

/** Settings that may stand at the top, for all hosts, and beneath a host, for that one. */
const hostable = {
  admins: z
    .array(jid())
    .prefault([])
    .meta({ description: 'Accounts that may administer the server; beneath a host: that host.' }),
  roles,
  registration: z.enum(['open', 'invite', 'closed']).prefault('invite').meta({
    description: 'Who may make an account from a client: everybody, people with an invitation, or nobody.',
  }),
  'resource-conflict': z.enum(['replace', 'refuse', 'rename']).prefault('replace').meta({
    description:
      'When a client asks for a resource that is in use (RFC 6120 7.7.2.2): end the old session, refuse the new one, or give it another name.',
  }),
  clients,
  contacts,
  limits,
  s2s,
  rooms,
  pubsub,
  upload,
  proxy,
  web,
  'external-services': externalServices,
  modules: z
    .record(
      z.string(),
      z
        .union([z.boolean(), z.record(z.string(), z.unknown())], {
          error: (issue) =>
            `${quote(issue.input)} is not the settings of a module. Give false to switch it off, or { name: value, ... }.`,
        })
        .meta({ kind: 'module' }),
    )
    .prefault({})
    .meta({
      description: 'By the name of the module: `false` to switch it off, `true` to switch it on, or its settings.',
    }),
};

/** What may stand beneath a host. */
export const hostSchema = z.strictObject({
  ...hostable,
  authentication: z.enum(['accounts', 'anonymous']).prefault('accounts').meta({
    description: '`accounts`: with a password. `anonymous`: guests without an account (SASL ANONYMOUS only).',
  }),
});

const databaseProblem = (value: unknown): string =>
  `${quote(value).replace(/:[^:@]*@/, ':********@')} is not a database. Try "embedded", "memory" or "postgres://user:password@host:5432/name".`;
const redisProblem = (value: unknown): string =>
  typeof value === 'string'
    ? `${quote(maskUrl(value))} is not an address of that kind. Try "redis://127.0.0.1:6379".`
    : 'not an address of Redis. Try "redis://127.0.0.1:6379", { sentinels: ["redis://127.0.0.1:26379"], name: "mymaster" } or { cluster: ["redis://127.0.0.1:6379"] }.';
const dnsProblem = (value: unknown): string =>
  `${quote(value)} is not the address of a resolver. Try "127.0.0.1:53" or "[::1]:53".`;
const isResolver = (text: string): boolean => {
  const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  return (
    isIP(text) !== 0 || (found !== null && isIP(found[1] ?? found[2] ?? '') !== 0 && Number(found[3] ?? 53) <= 65535)
  );
};
const level = z.enum(['debug', 'info', 'warn', 'error']);

const listen = z
  .strictObject({
    address: addresses().optional().meta({
      description:
        'Where to listen. Default: loopback as long as only `localhost` (or names below it) is served, all addresses otherwise.',
      restart,
    }),
    c2s: listener().prefault(5222).meta({ description: 'Clients, STARTTLS (RFC 6120).', restart }),
    'c2s-tls': listener().prefault(5223).meta({ description: 'Clients, direct TLS (XEP-0368).', restart }),
    s2s: listener().prefault(5269).meta({ description: 'Other servers, STARTTLS.', restart }),
    's2s-tls': listener().prefault(5270).meta({ description: 'Other servers, direct TLS (XEP-0368).', restart }),
    component: listener()
      .prefault(5347)
      .meta({ description: 'External components (XEP-0114); on loopback unless it has an `address`.', restart }),
    http: listener()
      .prefault(5280)
      .meta({ description: 'HTTP; on loopback, for a proxy in front, unless it has an `address`.', restart }),
    proxy65: listener().prefault(7777).meta({
      description:
        'Files that clients send each other (XEP-0065), where a host has a `proxy`. Several processes take ports from here upwards, one each and one more.',
      restart,
    }),
    https: listener().prefault(5443).meta({ description: 'HTTPS.', restart }),
  })
  .prefault({})
  .meta({
    description:
      'Listeners: a port; 0 for a free one; null to switch it off; `{ port: 5280, address: 0.0.0.0 }` for an address of its own.',
  });

const tls = z
  .strictObject({
    certificates: path().nullable().prefault(null).meta({
      description:
        'Folder of PEM files (certificates with their keys, any layout), matched by the names in them. Without one for a host, a local authority makes it, below `data`.',
    }),
    ca: path()
      .nullable()
      .prefault(null)
      .meta({ description: 'PEM file of authorities trusted for other servers, besides those of the system.' }),
    required: z.boolean().prefault(true).meta({
      description:
        '`false` lets clients in without TLS, SASL PLAIN included: only for load tests, and only while everything listens on loopback.',
    }),
  })
  .prefault({})
  .meta({ description: 'Certificates and encryption.' });

const log = z
  .strictObject({
    level: level.prefault('info').meta({ description: 'The least weight that is written.' }),
    format: z
      .enum(['auto', 'pretty', 'json'])
      .prefault('auto')
      .meta({ description: '`auto`: pretty on a terminal, JSON lines otherwise.', restart }),
    modules: z
      .record(z.string(), level)
      .prefault({})
      .meta({ description: 'Levels of single parts: `{ s2s: debug }`.' }),
  })
  .prefault({})
  .meta({
    description: 'Logging, to standard output. Passwords, tokens and the contents of stanzas are never logged.',
  });

const redisHost = url(['redis:', 'rediss:'], 'redis://127.0.0.1:6379');
const redisAddress = url(['redis:', 'rediss:', 'redis+unix:'], 'redis://127.0.0.1:6379').refine(
  (text) => !URL.canParse(text) || /^\d{0,9}$/.test(redisDatabase(text)),
  { error: 'ends in something else than the number of a database. Try "redis://127.0.0.1:6379/1".' },
);

/** One server, one that Sentinel watches, or some nodes of a Redis Cluster. */
const redis = z.union(
  [
    redisAddress,
    z.strictObject({
      sentinels: z.array(redisHost).min(1),
      name: z.string().min(1),
      username: z.string().min(1).optional(),
      password: secret().optional(),
    }),
    z.strictObject({ cluster: z.array(redisHost).min(1) }),
  ],
  { error: (issue) => redisProblem(issue.input) },
);

/** All of parley.yaml. */
export const serverSchema = z.strictObject({
  hosts: z.record(z.string(), hostSchema).prefault({ localhost: {} }).meta({
    description: 'The domains served. Settings beneath a host override the global ones of the same name.',
    keys: 'domain',
  }),
  admins: hostable.admins,
  roles,
  data: path()
    .prefault('./parley-data')
    .meta({ description: 'Folder of the embedded database, uploads, and certificates made here.', restart }),
  database: z
    .union(
      [z.enum(['embedded', 'memory']), url(['postgres:', 'postgresql:'], 'postgres://user:password@host:5432/name')],
      {
        error: (issue) => databaseProblem(issue.input),
      },
    )
    .prefault('embedded')
    .meta({
      kind: 'url',
      description:
        '`embedded`: a Postgres of its own below `data`; `postgres://...`: yours; `memory`: nothing is kept, for tests.',
      restart,
    }),
  redis: redis.nullable().prefault(null).meta({
    kind: 'url',
    description:
      'Redis or Valkey that joins several nodes to one server. Absent: one node. What Sentinel watches: `{ sentinels: [redis://host:26379, ...], name: NAME }`, with `password` (and `username`) of the server; a Redis Cluster: `{ cluster: [redis://host:6379, ...] }`.',
    restart,
  }),
  cluster: z
    .strictObject({
      processes: z
        .union([z.literal('auto'), z.int().min(1).max(1024)], {
          error: (issue) =>
            `${quote(issue.input)} is not a number of processes. Give a number from 1, or "auto" for one per core.`,
        })
        .prefault(1)
        .meta({ description: 'Processes on this machine; `auto`: one per core. More than 1 needs `redis`.', restart }),
      name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/, {
          error: (issue) =>
            `${quote(issue.input)} is not a name for a node. Try letters, digits, "-" and "_", up to 40 of them.`,
        })
        .nullable()
        .prefault(null)
        .meta({
          description:
            'What the node of this machine is called, no other node of the cluster alike; several processes are `NAME-1`, `NAME-2` ... Default: the name of the machine, up to its first dot.',
          restart,
        }),
    })
    .prefault({})
    .meta({ description: 'More than one core, more than one machine.' }),
  listen,
  tls,
  registration: hostable.registration,
  'resource-conflict': hostable['resource-conflict'],
  clients: hostable.clients,
  limits,
  'stream-management': streamManagement,
  dns: z
    .strictObject({
      servers: z
        .array(
          z
            .string({ error: (issue) => dnsProblem(issue.input) })
            .refine(isResolver, { error: (issue) => dnsProblem(issue.input) }),
        )
        .prefault([])
        .meta({
          description: 'Resolvers to ask (`address` or `address:port`). Default: those of the system.',
          restart,
        }),
    })
    .prefault({})
    .meta({ description: 'Name resolution.' }),
  s2s,
  rooms,
  pubsub,
  upload,
  proxy,
  web,
  components,
  'external-services': hostable['external-services'],
  contacts,
  modules: hostable.modules,
  plugins: z
    .array(z.string().min(1).meta({ kind: 'plugin' }))
    .prefault([])
    .meta({
      description: 'Modules from elsewhere: files (`./my-module.js`, from the folder of this file) or npm packages.',
      restart,
    }),
  log,
});

/** What `parley.yaml` may say, as an object; for `createServer` and `parseConfig`. */
export type ConfigInput = z.input<typeof serverSchema>;

/** The settings of one host: its own over the global ones. Durations are milliseconds, sizes bytes. */
export type HostSettings = z.output<typeof hostSchema>;

export type ListenerName = Exclude<keyof z.output<typeof listen>, 'address'>;

/** Where a listener listens: every address with the same port (0: the first one picks it), `null`: nowhere. */
export interface ListenerSettings {
  readonly port: number | null;
  /** `::` means every address, IPv4 too. */
  readonly address: readonly string[];
}

/** A whole, valid configuration. Durations are milliseconds, sizes bytes, paths absolute, domains and JIDs prepared. */
export interface Config extends Omit<z.output<typeof serverSchema>, 'hosts' | 'listen'> {
  /** By domain; every host with its effective settings. */
  readonly hosts: Readonly<Record<string, HostSettings>>;
  readonly listen: Readonly<Record<ListenerName, ListenerSettings>>;
  /** Where the values came from. Not enumerable: it holds what was masked elsewhere. */
  readonly source: ConfigSource;
}
