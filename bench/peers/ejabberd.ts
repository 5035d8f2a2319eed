// ejabberd, from its Debian package: without shapers, TLS optional; its data in Mnesia or in PostgreSQL.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eachLimited } from '../load/profile.ts';
import { userNames } from '../users.ts';
import {
  debianVersion,
  type FederationOptions,
  freePort,
  LOOPBACK,
  makeCertificate,
  type Peer,
  type PeerOptions,
  startDaemon,
  stopDaemon,
  waitForPort,
} from './peer.ts';
import { type DatabaseAddress, query } from './postgres.ts';

const SCHEMA = '/usr/share/ejabberd/sql/pg.sql';
const ERLANG_LIBRARIES = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib'];

export const ejabberd: Peer = {
  name: 'ejabberd',
  canFederate: true,

  version: () => debianVersion('ejabberd'),

  async start(options) {
    const { dir, domain, database, federation } = options;
    const spool = join(dir, 'spool');
    mkdirSync(spool, { recursive: true });
    const { pem } = federation?.certificate ?? (await makeCertificate(dir, domain));
    const port = await freePort();
    const directTlsPort = await freePort();
    const apiPort = await freePort();
    const webPort = await freePort();
    const secureWebPort = await freePort();
    const config = join(dir, 'ejabberd.yml');
    writeFileSync(
      config,
      `loglevel: warning
hosts: ["${domain}"]
certfiles: ["${pem}"]
auth_password_format: scram
${federation ? federationWith(federation) : ''}${database ? storageIn(database) : ''}listen:
${federation ? `  - { port: ${federation.port}, ip: "${LOOPBACK}", module: ejabberd_s2s_in, shaper: none }\n` : ''}  - { port: ${port}, ip: "${LOOPBACK}", module: ejabberd_c2s, starttls: true, starttls_required: false, access: all, shaper: none, backlog: 1024 }
  - { port: ${directTlsPort}, ip: "${LOOPBACK}", module: ejabberd_c2s, tls: true, access: all, shaper: none, backlog: 1024 }
  - { port: ${apiPort}, ip: "${LOOPBACK}", module: ejabberd_http, request_handlers: { /api: mod_http_api } }
  - { port: ${webPort}, ip: "${LOOPBACK}", module: ejabberd_http, request_handlers: { /xmpp-websocket: ejabberd_http_ws } }
  - { port: ${secureWebPort}, ip: "${LOOPBACK}", module: ejabberd_http, tls: true, request_handlers: { /xmpp-websocket: ejabberd_http_ws } }
api_permissions:
  local: { who: { ip: 127.0.0.0/8 }, what: "*" }
shaper_rules: { max_user_sessions: 50, max_user_offline_messages: 1000 }
modules:
  mod_adhoc: {}
  mod_admin_extra: {}
  mod_caps: {}
  mod_disco: {}
  mod_http_api: {}
  mod_last: {}
  mod_muc:
    host: "groups.@HOST@"
    access_create: all
    max_users: 10000
    max_users_presence: 10000
    max_user_conferences: 10000
    default_room_options: { max_users: 10000, mam: ${options.isFull} }
  mod_offline: {}
  mod_ping: {}
  mod_private: {}
  mod_pubsub: { plugins: [flat, pep], max_items_node: 100000 }
  mod_roster: {}
  mod_time: {}
  mod_vcard: { search: false }
  mod_version: {}
${federation?.isDialback ? '  mod_s2s_dialback: {}\n' : ''}${options.isFull ? FULL : ''}`,
    );
    if (database) await prepare(database);
    const libraries = erlangLibraries();
    const daemon = startDaemon(
      dir,
      'erl',
      ['-noinput', '+sbwt', 'none', '-mnesia', 'dir', `"${spool}"`, '-s', 'ejabberd'],
      {
        ...(libraries ? { ERL_LIBS: libraries } : {}),
        ...(federation ? { ERL_INETRC: resolverFile(dir, federation) } : {}),
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(dir, 'ejabberd.log'),
        HOME: dir,
      },
    );
    await waitForPort(daemon, port);
    await waitForPort(daemon, apiPort);
    await register(apiPort, options);
    if (options.areFriends) await befriend(apiPort, options);
    return {
      host: LOOPBACK,
      port,
      directTlsPort,
      webPort,
      secureWebPort,
      pids: [daemon.process.pid!],
      stop: () => stopDaemon(daemon),
    };
  },
};

/** With Mnesia, too, since that is what it takes without a database. */
const FULL = `  mod_mam: { default: always, request_activates_archiving: false }
  mod_carboncopy: {}
  mod_stream_mgmt: { resend_on_timeout: if_offline, resume_timeout: 600, max_resume_timeout: 600, queue_type: ram }
`;

function federationWith({ authority }: FederationOptions): string {
  return `ca_file: "${authority}"
s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
`;
}

/** Erlang's own resolver, which asks nobody else. */
function resolverFile(dir: string, { dnsPort }: FederationOptions): string {
  const file = join(dir, 'inetrc');
  const lines = [
    '{lookup, [dns]}.',
    '{resolv_conf, ""}.',
    '{hosts_file, ""}.',
    `{nameserver, {127,0,0,1}, ${dnsPort}}.`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

function storageIn({ host, port, user, database }: DatabaseAddress): string {
  return `default_db: sql
sql_type: pgsql
sql_server: "${host}"
sql_port: ${port}
sql_username: "${user}"
sql_database: "${database}"
`;
}

/** Makes its tables where there are none. */
async function prepare(database: DatabaseAddress): Promise<void> {
  const { rows } = await query(database, "SELECT to_regclass('archive') AS found");
  if (rows[0].found === null) await query(database, readFileSync(SCHEMA, 'utf8'));
}

/** Debian keeps Erlang libraries outside Erlang's own tree; ERL_LIBS says where. */
function erlangLibraries(): string | undefined {
  return ERLANG_LIBRARIES.find(
    (dir) => existsSync(dir) && readdirSync(dir).some((name) => name.startsWith('ejabberd-')),
  );
}

async function register(apiPort: number, options: PeerOptions): Promise<void> {
  const { domain, password } = options;
  await eachLimited(userNames(options), 8, async (user) => {
    const response = await call(apiPort, 'register', { user, host: domain, password });
    // 409: it is there already, from the round before.
    if (!response.ok && response.status !== 409)
      throw new Error(`ejabberd does not register ${user}: ${await response.text()}`);
  });
}

/** The first user and all others see each other's presence. */
async function befriend(apiPort: number, options: PeerOptions): Promise<void> {
  const { domain } = options;
  const [first = '', ...others] = userNames(options);
  await eachLimited(others, 8, async (user) => {
    for (const [owner, contact] of [
      [first, user],
      [user, first],
    ] as const) {
      const item = {
        localuser: owner,
        localhost: domain,
        user: contact,
        host: domain,
        nick: '',
        group: '',
        subs: 'both',
      };
      const response = await call(apiPort, 'add_rosteritem', item);
      if (!response.ok) throw new Error(`ejabberd does not take ${contact} for a contact: ${await response.text()}`);
    }
  });
}

function call(apiPort: number, command: string, body: object): Promise<Response> {
  return fetch(`http://${LOOPBACK}:${apiPort}/api/${command}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}
