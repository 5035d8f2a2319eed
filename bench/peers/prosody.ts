// Prosody, from its Debian package: without limits, TLS optional; its data in files or, but for the accounts, in PostgreSQL.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeProsodyAccounts, writeProsodyRosters } from '../users.ts';
import {
  debianVersion,
  type FederationOptions,
  freePort,
  LOOPBACK,
  makeCertificate,
  type Peer,
  startDaemon,
  stopDaemon,
  waitForPort,
} from './peer.ts';
import type { DatabaseAddress } from './postgres.ts';

export const prosody: Peer = {
  name: 'prosody',
  canFederate: true,

  version: () => debianVersion('prosody'),

  async start(options) {
    const { dir, domain, database, federation } = options;
    const data = join(dir, 'data');
    mkdirSync(data, { recursive: true });
    const { key, cert } = federation?.certificate ?? (await makeCertificate(dir, domain));
    const port = await freePort();
    const directTlsPort = await freePort();
    const webPort = await freePort();
    const secureWebPort = await freePort();
    writeProsodyAccounts(data, options);
    if (options.areFriends && !database) writeProsodyRosters(data, options);
    const config = join(dir, 'prosody.cfg.lua');
    writeFileSync(
      config,
      `run_as_root = true
pidfile = "${dir}/prosody.pid"
data_path = "${data}"
log = { { levels = { min = "warn" }, to = "console" } }
interfaces = { "${LOOPBACK}" }
c2s_ports = { ${port} }
c2s_direct_tls_ports = { ${directTlsPort} }
${federation ? federationWith(federation) : 's2s_ports = { }'}
http_ports = { ${webPort} }
https_ports = { ${secureWebPort} }
https_ssl = { key = "${key}", certificate = "${cert}" }
consider_websocket_secure = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_hashed"
${database ? storageIn(database) : 'storage = "internal"'}
certificates = "${dir}"
ssl = { key = "${key}", certificate = "${cert}"${federation ? `, cafile = "${federation.authority}"` : ''} }
c2s_direct_tls_ssl = { key = "${key}", certificate = "${cert}" }
modules_enabled = { "disco", "roster", "saslauth", "tls", "private", "ping", "time", "uptime", "version", "lastactivity",
  "vcard_legacy", "pep", "offline", "posix", "server_contact_info", "websocket"${options.isFull ? ', "mam", "carbons", "smacks"' : ''}${federation?.isDialback ? ', "dialback"' : ''} }
default_archive_policy = true
archive_expires_after = "never"
max_archive_query_results = 250
smacks_max_queue_size = 5000
pep_max_items = 100000
storage_archive_item_limit = 100000
${federation ? '' : 'modules_disabled = { "s2s" }'}
VirtualHost "${domain}"
Component "groups.${domain}" "muc"
  restrict_room_creation = false
${options.isFull ? '  modules_enabled = { "muc_mam" }\n  muc_log_by_default = true' : ''}
`,
    );
    const daemon = startDaemon(dir, 'prosody', ['--config', config, '-F'], { LANG: 'C.UTF-8' });
    await waitForPort(daemon, port);
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

function federationWith({ port, dnsPort, isDialback }: FederationOptions): string {
  return `s2s_ports = { ${port} }
s2s_direct_tls_ports = { }
s2s_require_encryption = true
s2s_secure_auth = ${!isDialback}
use_ipv6 = false
unbound = { resolvconf = false; hoststxt = false; forward = { "${LOOPBACK}@${dnsPort}" }; options = { ["do-not-query-localhost:"] = "no" } }`;
}

/** Accounts stay in files, which are written without a process for each. */
function storageIn({ host, port, user, database }: DatabaseAddress): string {
  return `default_storage = "sql"
storage = { accounts = "internal" }
sql = { driver = "PostgreSQL", host = "${host}", port = ${port}, username = "${user}", database = "${database}" }`;
}
