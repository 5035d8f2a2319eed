// Parley itself, started as an operator would: the command, a config file, the embedded database.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { userBatch } from '../users.ts';
import {
  type FederationOptions,
  freePort,
  LOOPBACK,
  output,
  type Peer,
  type RunningPeer,
  startDaemon,
  stopDaemon,
  waitForPort,
} from './peer.ts';

const COMMAND = fileURLToPath(new URL('../../bin/parley.js', import.meta.url));
const BUILD = fileURLToPath(new URL('../../scripts/build.js', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../../package.json', import.meta.url));

/** What an account may publish, as far as it is bounded by itself. */
const PEP = 'pep: { max-items: 100000, publishes-per-minute: 10000000, max-bytes: 1000000000 }';
/** Switches off what the others are started without, too. */
const MINIMAL = 'carbons: false, mam: false, room-archive: false, ';

export const parley: Peer = {
  name: 'parley',
  canFederate: true,

  async version() {
    if (!existsSync(COMMAND)) return undefined;
    return (JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }).version;
  },

  async start(options): Promise<RunningPeer> {
    const { dir, domain } = options;
    const built = await output(process.execPath, [BUILD, '--if-stale'], 120);
    if (built === undefined) throw new Error('Parley does not compile; npm run build says why');
    const port = await freePort();
    const directTlsPort = await freePort();
    const webPort = await freePort();
    const secureWebPort = await freePort();
    const { database, federation, cluster } = options;
    const config = join(dir, 'parley.yaml');
    writeFileSync(
      config,
      `hosts: { ${domain}: {} }
data: ${JSON.stringify(join(dir, 'data'))}
database: ${database ? `postgres://${database.user}@${database.host}:${database.port}/${database.database}` : 'embedded'}
listen:
  address: ["${LOOPBACK}"]
  c2s: ${port}
  c2s-tls: ${directTlsPort}
  s2s: ${federation?.port ?? null}
  s2s-tls: null
  component: null
  http: ${webPort}
  https: ${secureWebPort}
${federation ? federationWith(federation) : 'tls: { required: false }\n'}limits: { enabled: false }
${cluster ? `redis: ${cluster.redis}\ncluster: { name: ${cluster.name} }\n` : ''}modules: { ${options.isFull ? '' : MINIMAL}${PEP} }
log: { level: warn, format: json }
`,
    );
    const daemon = startDaemon(dir, process.execPath, [COMMAND, 'start', '--config', config]);
    await waitForPort(daemon, port);
    const users = join(dir, 'users.txt');
    if (options.users > 0 && !existsSync(users)) {
      writeFileSync(`${users}.new`, userBatch('parley', options));
      const added = await output(
        process.execPath,
        [COMMAND, 'user', 'add', '--batch', `${users}.new`, '--config', config],
        600,
      );
      if (added === undefined) {
        await stopDaemon(daemon);
        throw new Error('parley user add --batch failed');
      }
      writeFileSync(users, userBatch('parley', options));
    }
    const pids = [daemon.process.pid!, ...databasePids(join(dir, 'data'))];
    return { host: LOOPBACK, port, directTlsPort, webPort, secureWebPort, pids, stop: () => stopDaemon(daemon) };
  },
};

function federationWith({ certificate, authority, dnsPort, isDialback }: FederationOptions): string {
  return `tls: { required: false, certificates: ${JSON.stringify(dirname(certificate.pem))}, ca: ${JSON.stringify(authority)} }
dns: { servers: ["${LOOPBACK}:${dnsPort}"] }
s2s: { require-valid-certificates: ${!isDialback} }
`;
}

/** The embedded Postgres may outlive the server that started it and is then no child: its process id is in its data directory. */
function databasePids(data: string): number[] {
  const file = join(data, 'postgres', 'db', 'postmaster.pid');
  return existsSync(file) ? [Number(readFileSync(file, 'utf8').split('\n', 1)[0])] : [];
}
