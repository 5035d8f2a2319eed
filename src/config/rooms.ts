// The settings of the host for rooms (XEP-0045) that stands below each domain, and what it is called.
import { isIP } from 'node:net';
import { z } from 'zod';
import { prepareDomain } from '../xmpp/jid.ts';
import type { Path } from './problems.ts';
import { quote } from './schema.ts';

const domainProblem = (value: unknown): string =>
  `${quote(value)} is not a domain. Try "groups.*", where "*" stands for the domain of the host, or "groups.example.org".`;

/** The domain that a pattern means for a host; undefined where there is no such domain: below an address, or too long. */
function domainFor(pattern: string, host: string): string | undefined {
  const isAddress = host.startsWith('[') || isIP(host) !== 0;
  return isAddress && pattern.includes('*') ? undefined : prepareDomain(pattern.replace('*', host));
}

export const rooms = z
  .strictObject({
    enabled: z
      .boolean()
      .prefault(true)
      .meta({ description: 'Whether there are rooms. `rooms: false` says the same as `rooms: { enabled: false }`.' }),
    domain: z
      .string({ error: (issue) => domainProblem(issue.input) })
      .refine((text) => domainFor(text, 'example.org') !== undefined, { error: (issue) => domainProblem(issue.input) })
      .prefault('groups.*')
      .meta({
        description:
          'The domain that the rooms are at; `*` stands for the domain of the host. Other servers look it up by this name.',
      }),
  })
  .prefault({})
  .meta({ description: 'Rooms for many people (XEP-0045), on a domain of their own below each host.' });

/** What has to be known of a host's settings. */
interface Settings {
  readonly rooms: z.output<typeof rooms>;
}

/** The domain of a host's rooms; undefined where it has none. */
function roomsDomain(host: string, settings: Settings): string | undefined {
  return settings.rooms.enabled ? domainFor(settings.rooms.domain, host) : undefined;
}

/** The domains that rooms are at, each with that of the host it belongs to. */
export function roomsHosts(hosts: Readonly<Record<string, Settings>>): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [host, settings] of Object.entries(hosts)) {
    const domain = roomsDomain(host, settings);
    if (domain !== undefined) found.set(domain, host);
  }
  return found;
}

/** Nothing else may be at the domain of rooms. */
export function checkRooms(
  hosts: Readonly<Record<string, Settings>>,
  components: readonly string[],
  report: (path: Path, message: string) => void,
): void {
  const taken = new Map<string, string>([
    ...Object.keys(hosts).map((host) => [host, 'is served for accounts (see "hosts")'] as const),
    ...components.map((component) => [component, 'is that of a component (see "components")'] as const),
  ]);
  for (const [host, settings] of Object.entries(hosts)) {
    const domain = roomsDomain(host, settings);
    if (domain === undefined) continue;
    const why = taken.get(domain);
    if (why !== undefined) {
      const remedy = 'Give another domain, or "rooms: false" for no rooms.';
      report(['hosts', host, 'rooms', 'domain'], `${domain} ${why}. ${remedy}`);
    }
    taken.set(domain, `is that of the rooms of ${host}`);
  }
}
