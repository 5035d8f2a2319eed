// The settings of services beside XMPP that clients are told of: STUN and TURN, for calls.
import { z } from 'zod';
import type { Path } from './problems.ts';
import { duration, quote, secret } from './schema.ts';

export const serviceTypes = ['stun', 'stuns', 'turn', 'turns'] as const;

const hostProblem = (value: unknown): string =>
  `${quote(value)} is not a name or an address. Try "turn.example.org" or "192.0.2.1".`;

const externalService = z.strictObject({
  type: z.enum(serviceTypes).meta({ description: 'Kind of service.' }),
  transport: z.enum(['udp', 'tcp']).prefault('udp').meta({ description: 'Transport protocol.' }),
  host: z
    .string()
    .regex(/^[^\s/@[\]]+$/, { error: (issue) => hostProblem(issue.input) })
    .meta({ description: 'Name or address of the service.' }),
  port: z
    .int()
    .min(1)
    .max(65535)
    .nullable()
    .prefault(null)
    .meta({ description: 'Port of the service. Default: 3478, and 5349 for `stuns` and `turns`.' }),
  name: z.string().min(1).nullable().prefault(null).meta({ description: 'What people may call it.' }),
  secret: secret()
    .nullable()
    .prefault(null)
    .meta({ description: 'Shared with the service; short-lived credentials are made from it.' }),
  username: z.string().nullable().prefault(null).meta({ description: 'Fixed name, where there is no shared secret.' }),
  password: secret()
    .nullable()
    .prefault(null)
    .meta({ description: 'Fixed password, where there is no shared secret.' }),
  ttl: duration().prefault('1d').meta({ description: 'How long credentials made from the secret hold.' }),
});

export const externalServices = z
  .array(externalService)
  .prefault([])
  .meta({ description: 'STUN and TURN services told to clients (XEP-0215).' });

export type ExternalService = z.output<typeof externalService>;

/** The port that a service is at. */
export function portOf({ type, port }: Pick<ExternalService, 'type' | 'port'>): number {
  return port ?? (type.endsWith('s') ? 5349 : 3478);
}

interface Settings {
  readonly 'external-services': readonly ExternalService[];
}

/** Rules that no single setting can break; what hosts have from above is told of once. */
export function checkExternalServices(
  all: Settings,
  hosts: Readonly<Record<string, Settings>>,
  report: (path: Path, message: string) => void,
): void {
  const common = JSON.stringify(all['external-services']);
  checkList(all, [], report);
  for (const [host, settings] of Object.entries(hosts)) {
    if (JSON.stringify(settings['external-services']) !== common) checkList(settings, ['hosts', host], report);
  }
}

function checkList(settings: Settings, above: Path, report: (path: Path, message: string) => void): void {
  settings['external-services'].forEach(({ type, secret, username, password }, i) => {
    const at = [...above, 'external-services', i];
    if (secret !== null && password !== null) report(at, 'has both a secret and a fixed password; give one of them');
    else if (username === null && password !== null) report(at, 'has a password, but no username');
    else if (username !== null && password === null) report(at, 'has a username, but no password');
    else if (secret === null && username === null && type.startsWith('turn')) {
      report(at, 'needs credentials, as nobody may relay without. Try secret: what coturn has as static-auth-secret.');
    }
  });
}
