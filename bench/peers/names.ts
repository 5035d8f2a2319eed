// dnsmasq (Debian's package) on loopback: says where the servers of a benchmark are, and knows nothing of the world.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, LOOPBACK, startDaemon, stopDaemon, waitForPort } from './peer.ts';

export interface RunningNames {
  readonly port: number;
  stop(): Promise<void>;
}

/** @param places the port of each domain, for other servers */
export async function startNames(dir: string, places: ReadonlyMap<string, number>): Promise<RunningNames> {
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const file = join(dir, 'dnsmasq.conf');
  const lines = [
    `port=${port}`,
    `listen-address=${LOOPBACK}`,
    'bind-interfaces',
    'no-resolv',
    'no-hosts',
    `pid-file=${join(dir, 'pid')}`,
    ...(process.getuid?.() === 0 ? ['user=root'] : []),
    // ejabberd asks us for SRV records only, and the system for addresses: "localhost" is what both know
    `host-record=localhost,${LOOPBACK}`,
    ...[...places].map(([domain, at]) => `srv-host=_xmpp-server._tcp.${domain},localhost,${at}`),
    // without these it would refuse to answer for other names of theirs
    ...[...places.keys()].map((domain) => `local=/${domain}/`),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const { PATH = '/usr/bin:/bin' } = process.env;
  const daemon = startDaemon(dir, 'dnsmasq', ['--keep-in-foreground', `--conf-file=${file}`], {
    PATH: `${PATH}:/usr/sbin`,
  });
  await waitForPort(daemon, port);
  return { port, stop: () => stopDaemon(daemon) };
}
