// The first screen: where everything is, and how to make the first account.
import { dirname, join } from 'node:path';
import { qrForTerminal } from '../base/qr.ts';
import { softwareVersion } from '../base/software.ts';
import { maskUrl } from '../config/schema.ts';
import type { Config } from '../config/server.ts';
import { domainsOf, serviceKinds } from '../config/services.ts';
import { formatEndpoint } from '../core/admin-commands.ts';
import { webChat } from '../modules/web-chat/index.ts';
import type { Server } from '../server.ts';
import { firstInvitation } from './first-account.ts';

/** What only the running server knows; plain JSON. */
export interface StartFacts {
  readonly listening: Server['listening'];
  /** A certificate that was made here: its file, or nothing where it is in no file. */
  readonly local?: { readonly file?: string };
  /** The first domain that has accounts, while there is none on it. */
  readonly empty?: string;
  /** Where a browser makes that first account. */
  readonly invitation?: string;
  /** Where the web client is. */
  readonly chat?: string;
}

export async function startFacts(server: Server, config: Config): Promise<StartFacts> {
  const hosts = Object.keys(config.hosts);
  const local = hosts.map((host) => server.tls.certificateFor(host)).find((found) => found?.source === 'local');
  const first = hosts.find((host) => config.hosts[host]?.authentication === 'accounts');
  const host = first === undefined ? undefined : server.hosts.get(first);
  const accounts = host?.accounts;
  const chat = host?.find(webChat)?.address();
  const isEmpty = accounts !== undefined && (await accounts.list(undefined, 1)).length === 0;
  const invitation = isEmpty && host ? await firstInvitation(host, Date.now(), host.log) : undefined;
  return {
    listening: server.listening,
    ...(local === undefined ? {} : { local: local.file === undefined ? {} : { file: local.file } }),
    ...(isEmpty && first !== undefined ? { empty: first } : {}),
    ...(invitation === undefined ? {} : { invitation }),
    ...(chat === undefined ? {} : { chat }),
  };
}

const titles: Readonly<Record<string, string>> = {
  c2s: 'clients, STARTTLS',
  'c2s-tls': 'clients, TLS',
  s2s: 'servers, STARTTLS',
  's2s-tls': 'servers, TLS',
  component: 'components',
  http: 'HTTP',
  https: 'HTTPS',
  proxy65: 'files between clients',
};

export interface BannerParts {
  readonly config: Config;
  /** What was typed after `--config`. */
  readonly configOption: string | undefined;
  /** How many processes there are. */
  readonly processes: number;
  /** Somebody looks at it, and can point a camera at it. */
  readonly isTerminal: boolean;
}

/** The first screen. */
export function banner(
  { listening, local, empty, invitation, chat }: StartFacts,
  { config, configOption, processes, isTerminal }: BannerParts,
): string {
  const hosts = Object.keys(config.hosts);
  const services = serviceKinds.map((kind) => [kind, domainsOf(kind, config.hosts)] as const);
  const endpoints = new Map<string, string[]>();
  for (const { name, address, port } of listening) {
    endpoints.set(name, [...(endpoints.get(name) ?? []), formatEndpoint(address, port)]);
  }
  const from =
    config.source.file ??
    (hosts.every((host) => host === 'localhost')
      ? 'no file: starting for localhost only'
      : 'no file: from the environment');
  const lines = [
    `parley ${softwareVersion()} is ready for ${hosts.join(', ')}`,
    '',
    row('config', from),
    ...services.flatMap(([kind, domains]) => (domains.length === 0 ? [] : [row(kind, domains.join(', '))])),
    row('data', config.data),
    row(
      'database',
      config.database === 'embedded' ? 'embedded Postgres, in the data folder' : maskUrl(config.database),
    ),
    ...(config.redis === null ? [] : [row('redis', redisPlace(config.redis))]),
    ...(processes === 1 ? [] : [row('processes', String(processes))]),
    row(
      'tls',
      local
        ? `certificate made here${local.file ? `; trust ${join(dirname(local.file), 'ca.crt')} in your client` : ''}`
        : 'certificates from tls.certificates',
    ),
    ...(chat === undefined ? [] : [row('chat', chat)]),
    ...[...endpoints].map(([name, places]) => row(name, `${places.join(', ')}  (${titles[name] ?? name})`)),
  ];
  if (empty !== undefined) {
    const option =
      configOption === undefined ? '' : ` --config ${/\s/.test(configOption) ? `"${configOption}"` : configOption}`;
    if (invitation !== undefined) {
      lines.push('', '  Make the first account, which administers the server, in a browser (once, within a day):');
      lines.push(`    ${invitation}`);
      if (isTerminal) lines.push('', qrForTerminal(invitation));
    }
    lines.push(
      '',
      `  ${invitation === undefined ? 'Make the first account' : 'Or make accounts'}, in another terminal:`,
    );
    lines.push(`    npx parley user add alice@${empty}${option}`);
  }
  return `${lines.join('\n')}\n`;
}

const row = (name: string, value: string): string => `  ${name.padEnd(10)} ${value}`;

function redisPlace(redis: NonNullable<Config['redis']>): string {
  if (typeof redis === 'string') return maskUrl(redis);
  return 'cluster' in redis
    ? `cluster of ${redis.cluster.map(maskUrl).join(', ')}`
    : `${redis.name}, watched by ${redis.sentinels.map(maskUrl).join(', ')}`;
}
