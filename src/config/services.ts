// The hosts of services that stand below each domain: what they are called, and that nothing else is there.
import { isIP } from 'node:net';
import { z } from 'zod';
import { prepareDomain } from '../xmpp/jid.ts';
import type { Path } from './problems.ts';
import { quote } from './schema.ts';

/** The kinds of services, by the names of their settings. */
export const serviceKinds = ['rooms', 'pubsub', 'upload', 'proxy'] as const;
export type ServiceKind = (typeof serviceKinds)[number];

/** What people call what is there. */
const titles: Readonly<Record<ServiceKind, string>> = {
  rooms: 'rooms',
  pubsub: 'publish-subscribe',
  upload: 'files',
  proxy: 'a relay for files',
};

interface ServiceSettings {
  readonly enabled: boolean;
  /** `*` stands for the domain of the host. */
  readonly domain: string;
}
/** What has to be known of a host's settings. */
export type SettingsOfServices = Readonly<Record<ServiceKind, ServiceSettings>>;

/** Whose service a domain is. */
export interface Service {
  readonly kind: ServiceKind;
  /** The domain of the host above. */
  readonly parent: string;
}

/** The domain that a pattern means for a host; undefined where there is no such domain: below an address, or too long. */
function domainFor(pattern: string, host: string): string | undefined {
  const isAddress = host.startsWith('[') || isIP(host) !== 0;
  return isAddress && pattern.includes('*') ? undefined : prepareDomain(pattern.replace('*', host));
}

/** The setting of a service's domain. @param usual such as `groups.*` */
export function serviceDomain(usual: string, description: string) {
  const example = usual.replace('*', 'example.org');
  const problem = (value: unknown): string =>
    `${quote(value)} is not a domain. Try "${usual}", where "*" stands for the domain of the host, or "${example}".`;
  return z
    .string({ error: (issue) => problem(issue.input) })
    .refine((text) => domainFor(text, 'example.org') !== undefined, { error: (issue) => problem(issue.input) })
    .prefault(usual)
    .meta({ description });
}

/** The settings of what is published and subscribed to, beside accounts. */
export const pubsub = z
  .strictObject({
    enabled: z.boolean().prefault(true).meta({
      description:
        'Whether there is a service for it. `pubsub: false` says the same as `pubsub: { enabled: false }`. What people publish at their own accounts (XEP-0163) needs none.',
    }),
    domain: serviceDomain(
      'pubsub.*',
      'The domain that the nodes are at; `*` stands for the domain of the host. Other servers look it up by this name.',
    ),
  })
  .prefault({})
  .meta({ description: 'Publish-subscribe (XEP-0060), on a domain of its own below each host.' });

/** The domain of a host's service; undefined where it has none. */
function serviceAt(host: string, { enabled, domain }: ServiceSettings): string | undefined {
  return enabled ? domainFor(domain, host) : undefined;
}

/** The domains that services are at, in the order of hosts. */
export function serviceHosts(hosts: Readonly<Record<string, SettingsOfServices>>): ReadonlyMap<string, Service> {
  const found = new Map<string, Service>();
  for (const [parent, settings] of Object.entries(hosts)) {
    for (const kind of serviceKinds) {
      const domain = serviceAt(parent, settings[kind]);
      if (domain !== undefined) found.set(domain, { kind, parent });
    }
  }
  return found;
}

/** The kinds that other servers may ask for by name: files are for the people of the host alone, however they are sent. */
export type PublicKind = Exclude<ServiceKind, 'upload' | 'proxy'>;
export function publicServices(
  hosts: Readonly<Record<string, SettingsOfServices>>,
): ReadonlyMap<string, Service & { readonly kind: PublicKind }> {
  const found = new Map<string, Service & { readonly kind: PublicKind }>();
  for (const [domain, { kind, parent }] of serviceHosts(hosts))
    if (kind !== 'upload' && kind !== 'proxy') found.set(domain, { kind, parent });
  return found;
}

/** The domains of one kind of service. */
export function domainsOf(kind: ServiceKind, hosts: Readonly<Record<string, SettingsOfServices>>): readonly string[] {
  return [...serviceHosts(hosts)].flatMap(([domain, service]) => (service.kind === kind ? [domain] : []));
}

/** Nothing else may be at the domain of a service. */
export function checkServices(
  hosts: Readonly<Record<string, SettingsOfServices>>,
  components: readonly string[],
  report: (path: Path, message: string) => void,
): void {
  const taken = new Map<string, string>([
    ...Object.keys(hosts).map((host) => [host, 'is served for accounts (see "hosts")'] as const),
    ...components.map((component) => [component, 'is that of a component (see "components")'] as const),
  ]);
  for (const [host, settings] of Object.entries(hosts)) {
    for (const kind of serviceKinds) {
      const domain = serviceAt(host, settings[kind]);
      if (domain === undefined) continue;
      const why = taken.get(domain);
      if (why !== undefined) {
        const remedy = `Give another domain, or "${kind}: false" for no ${titles[kind]}.`;
        report(['hosts', host, kind, 'domain'], `${domain} ${why}. ${remedy}`);
      }
      taken.set(domain, `is that of the ${titles[kind]} of ${host}`);
    }
  }
}
