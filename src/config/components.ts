// The settings of external components: their secrets, and what they may do for the people of our hosts (XEP-0355, XEP-0356).
import { z } from 'zod';
import { Jid, prepareDomain } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { Path } from './problems.ts';
import { quote, secret } from './schema.ts';

const domainProblem = (value: unknown): string => `${quote(value)} is not a domain. Try "example.org".`;
const namespaceProblem = (value: unknown): string => `${quote(value)} is not a namespace. Try "${NS.ping}".`;

const namespace = () =>
  z
    .string({ error: (issue) => namespaceProblem(issue.input) })
    .regex(/^\S+$/, { error: (issue) => namespaceProblem(issue.input) });

const privileges = z
  .strictObject({
    roster: z.enum(['none', 'get', 'set', 'both']).prefault('none').meta({
      description: 'Whether it may read rosters (`get`), change them (`set`), or both.',
    }),
    'roster-push': z.boolean().prefault(true).meta({
      description: 'Whether it is told of every change of a roster, where it may read them.',
    }),
    message: z.enum(['none', 'outgoing']).prefault('none').meta({
      description: '`outgoing`: it may send messages in the name of the host and of its accounts.',
    }),
    presence: z.enum(['none', 'managed_entity', 'roster']).prefault('none').meta({
      description:
        '`managed_entity`: it is told when people come and go; `roster`: of the presence of their contacts too, for which it must be allowed to read rosters.',
    }),
    iq: z
      .array(
        z.strictObject({
          namespace: namespace().meta({ description: 'Namespace of the requests.' }),
          type: z.enum(['get', 'set', 'both']).meta({ description: 'Kinds of the requests.' }),
        }),
      )
      .prefault([])
      .meta({ description: 'Requests that it may send in the name of accounts.' }),
  })
  .prefault({})
  .meta({
    description: 'What it may do in the name of people (XEP-0356): much. Only for components that you trust entirely.',
  });

const delegation = z.strictObject({
  namespace: namespace().meta({ description: 'Namespace of the requests.' }),
  attributes: z
    .array(z.string().regex(/^[^\s<>&'"=/]+$/))
    .prefault([])
    .meta({ description: 'Attributes that a request must have to be handed over. Default: it need not have any.' }),
});

export const components = z
  .record(
    z.string(),
    z.strictObject({
      secret: secret().meta({ description: 'What the component proves to know.' }),
      connections: z.enum(['one', 'many']).prefault('one').meta({
        description:
          '`one`: a new connection takes the place of the old one. `many`: there may be several at a time, also to different nodes; each of them is sent what some of the people say, and all that these say.',
      }),
      hosts: z
        .array(
          z.string({ error: (issue) => domainProblem(issue.input) }).transform((text, context) => {
            const domain = prepareDomain(text);
            if (domain === undefined) context.addIssue({ code: 'custom', message: domainProblem(text) });
            return domain ?? text;
          }),
        )
        .nullable()
        .prefault(null)
        .meta({ description: 'The hosts that `privileges` and `delegate` are about. Default: all.' }),
      privileges,
      delegate: z.array(delegation).prefault([]).meta({
        description: 'Requests to the hosts and their accounts that the component answers in their place (XEP-0355).',
      }),
    }),
  )
  .prefault({})
  .meta({
    description:
      'External components (XEP-0114), by their domain. Sizes and rates are those of other servers, under `s2s`.',
    keys: 'domain',
  });

type ComponentsSettings = z.output<typeof components>;
export type Privileges = z.output<typeof privileges>;
export type Delegation = z.output<typeof delegation>;

/** What one component may do on one host. */
export interface Grant {
  readonly component: Jid;
  readonly privileges: Privileges;
  readonly delegations: readonly Delegation[];
}

/** XEP-0355 5.2.5, 5.2.6: what is told of accounts beside what the server knows of them. */
export const REMAINING_INFO = `${NS.delegation}:bare:disco#info:*`;
export const REMAINING_ITEMS = `${NS.delegation}:bare:disco#items:*`;

/** Every component that may do something on a host, by its domain. */
export function grantsOn(settings: ComponentsSettings, host: string): ReadonlyMap<string, Grant> {
  const grants = new Map<string, Grant>();
  for (const [domain, { hosts, privileges: given, delegate }] of Object.entries(settings)) {
    if (hosts !== null && !hosts.includes(host)) continue;
    const { roster, message, presence, iq } = given;
    const isPrivileged = roster !== 'none' || message !== 'none' || presence !== 'none' || iq.length > 0;
    if (!isPrivileged && delegate.length === 0) continue;
    grants.set(domain, { component: Jid.of('', domain), privileges: given, delegations: delegate });
  }
  return grants;
}

export function mayReadRosters({ roster }: Privileges): boolean {
  return roster === 'get' || roster === 'both';
}

/** Rules that no single setting can break. */
export function checkComponents(
  settings: ComponentsSettings,
  hosts: readonly string[],
  report: (path: Path, message: string) => void,
): void {
  const owners = new Map<string, string>();
  for (const [domain, component] of Object.entries(settings)) {
    const at = ['components', domain];
    if (hosts.includes(domain)) report(at, 'is served by this server itself (see "hosts")');
    component.hosts?.forEach((host, i) => {
      if (!hosts.includes(host)) report([...at, 'hosts', i], `${quote(host)} is not served here (see "hosts")`);
    });
    checkPrivileges(component.privileges, [...at, 'privileges'], report);
    component.delegate.forEach(({ namespace: ns }, i) => {
      const path = [...at, 'delegate', i, 'namespace'];
      const problem = notDelegable(ns);
      if (problem !== undefined) report(path, problem);
      for (const host of component.hosts ?? hosts) {
        const owner = owners.get(`${host} ${ns}`);
        if (owner === undefined) owners.set(`${host} ${ns}`, domain);
        else {
          report(path, `is delegated to ${owner} already; a namespace has one component for each host`);
          break;
        }
      }
    });
  }
}

function checkPrivileges(given: Privileges, at: Path, report: (path: Path, message: string) => void): void {
  // XEP-0356 7.4
  if (given.presence === 'roster' && !mayReadRosters(given)) {
    report([...at, 'presence'], '"roster" needs the privilege to read rosters. Try roster: get.');
  }
  given.iq.forEach(({ namespace: ns }, i) => {
    const path = [...at, 'iq', i, 'namespace'];
    if (given.iq.findIndex((one) => one.namespace === ns) < i) report(path, 'is listed twice. Try type: both.');
    if (ns === NS.privilege) report(path, 'cannot be granted: privileges are not passed on');
  });
}

/** Why a namespace cannot be delegated; undefined where it can. */
function notDelegable(ns: string): string | undefined {
  if (ns === REMAINING_INFO || ns === REMAINING_ITEMS) return undefined;
  // XEP-0355 7, rule 5
  if (ns === NS.delegation || ns === NS.privilege) return 'cannot be delegated: it is what delegation is done with';
  if (ns.startsWith(`${NS.delegation}:`)) {
    return `there is no such special namespace. Try "${REMAINING_INFO}" or "${REMAINING_ITEMS}".`;
  }
  if (ns === NS.discoInfo || ns === NS.discoItems) {
    return `is answered by the server itself. Try "${ns === NS.discoInfo ? REMAINING_INFO : REMAINING_ITEMS}".`;
  }
  const isOfStream = /^urn:ietf:params:xml:ns:xmpp-|^jabber:(client|server|component:accept)$/.test(ns);
  return isOfStream ? 'belongs to the stream, and is never asked of the host or an account' : undefined;
}
