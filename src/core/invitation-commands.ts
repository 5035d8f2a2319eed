// The administrative commands for invitations (XEP-0401, XEP-0379, XEP-0445).
import { z } from 'zod';
import { duration, jid } from '../config/schema.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import { checkRole, since, split, table, time } from './admin-common.ts';
import { type AdminContext, CommandError, defineOfflineCommand, type OfflineContext } from './commands.ts';
import { type AdminInvitations, type Invitation, InvitationRefusal, type NewInvitation } from './invitations.ts';

type Context = AdminContext | OfflineContext;

const host = z.string().optional().describe('The domain; it may be left out where there is one');
const token = z
  .string()
  .transform((text) => /(?:preauth=|\/join\/)?([a-z2-7]{24})(?:;|\/?$)/.exec(text)?.[1] ?? text)
  .describe('The token, or a link that has it');

/** @throws CommandError `bad-arguments` where it has to be said which */
function domainOf(context: Context, given: string | undefined): string {
  if (given !== undefined) return prepareDomain(given) ?? given;
  const [only, ...others] = context.hosts;
  if (only === undefined || others.length > 0) {
    throw new CommandError('bad-arguments', `which domain? They are: ${context.hosts.join(', ')}`);
  }
  return only;
}

/** @throws CommandError `not-found` for a domain that has none, and for what the work refuses */
async function within<T>(
  context: Context,
  domain: string,
  work: (invitations: AdminInvitations) => Promise<T>,
): Promise<T> {
  const found = await context.invitationsOf(domain);
  if (found === undefined) {
    throw new CommandError('not-found', `${domain} has no invitations; the domains are: ${context.hosts.join(', ')}`);
  }
  try {
    return await work(found);
  } catch (error) {
    if (!(error instanceof InvitationRefusal)) throw error;
    const code = codes[error.problem] ?? 'refused';
    throw new CommandError(code, error.message);
  }
}
const codes: Partial<Record<InvitationRefusal['problem'], ConstructorParameters<typeof CommandError>[0]>> = {
  unknown: 'not-found',
  'no-account': 'not-found',
  taken: 'exists',
  'bad-request': 'bad-arguments',
};

/** The one that has a token; on all domains, unless said. */
async function find(
  context: Context,
  args: { readonly token: string; readonly host?: string | undefined },
): Promise<{ readonly domain: string; readonly invitation: Invitation }> {
  const domains = args.host === undefined ? context.hosts : [domainOf(context, args.host)];
  for (const domain of domains) {
    const invitation = await (await context.invitationsOf(domain))?.show(args.token);
    if (invitation !== undefined) return { domain, invitation };
  }
  throw new CommandError('not-found', 'there is no such invitation');
}

/** As JSON. */
const described = (domain: string, one: Invitation) => ({
  host: domain,
  token: one.token,
  kind: one.kind,
  state: one.state,
  uri: one.uri,
  ...(one.page !== undefined && { page: one.page }),
  ...(one.user !== undefined && { user: one.user }),
  ...(one.inviter !== undefined && { inviter: one.inviter }),
  makesAccount: one.makesAccount,
  ...(one.role !== undefined && { role: one.role }),
  ...(one.groups.length > 0 && { groups: one.groups }),
  ...(one.note !== undefined && { note: one.note }),
  ...(one.source !== undefined && { source: one.source }),
  uses: one.uses,
  usedBy: one.usedBy,
  created: time(one.created),
  expires: time(one.expires),
});
type Described = ReturnType<typeof described>;

const create = defineOfflineCommand({
  name: 'invite',
  summary: 'Make an invitation: a link by which somebody gets an account, a contact or a new password',
  args: z.strictObject({
    host,
    admin: z.boolean().prefault(false).describe('The account will administer the domain'),
    role: z.string().min(1).optional().describe('The role that the account will have'),
    user: z.string().min(1).optional().describe('The name of the account, which is kept until then'),
    contact: jid().optional().describe('Whose contact somebody becomes, with a new account or the one they have'),
    reset: jid().optional().describe('The account whose password is to be chosen anew'),
    ttl: duration().optional().describe('How long it holds, such as 7d'),
    uses: z.coerce.number().pipe(z.int().positive()).optional().describe('How many may use it'),
    note: z.string().optional().describe('To find it again'),
    group: z.array(z.string().min(1)).optional().describe('The circles that the account will be in, by their ids'),
    source: z.string().min(1).optional().describe('Who made it; the operator, unless said'),
  }),
  async run(context, { contact, reset, admin, role, ...args }) {
    if ([contact, reset, args.user].filter((one) => one !== undefined).length > 1) {
      throw new CommandError('bad-arguments', 'it is for an account, a contact or a new password');
    }
    if (admin && role !== undefined) throw new CommandError('bad-arguments', 'an administrator has no other role');
    const person = contact ?? reset;
    const place = person === undefined ? undefined : split(person);
    if (args.host !== undefined && place !== undefined && place.host !== domainOf(context, args.host)) {
      throw new CommandError('bad-arguments', `${person} is not at ${args.host}`);
    }
    const domain = place?.host ?? domainOf(context, args.host);
    if (role !== undefined) checkRole(context, domain, role);
    const wanted: NewInvitation = {
      kind: contact !== undefined ? 'contact' : reset !== undefined ? 'reset' : 'account',
      user: reset === undefined ? args.user : place?.user,
      inviter: contact === undefined ? undefined : place?.user,
      role: admin ? 'admin' : role,
      ttl: args.ttl,
      uses: args.uses,
      note: args.note,
      groups: args.group,
      source: args.source ?? 'operator',
    };
    return described(domain, await within(context, domain, (invitations) => invitations.create(wanted)));
  },
  render: (made) => [made.page ?? made.uri, `${what(made)}, until ${made.expires}`, ...others(made)].join('\n'),
});

/** What it is, in words. */
function what({ host: domain, kind, inviter, user, role, uses, makesAccount }: Described): string {
  const many = uses === 1 ? '' : `, for ${uses} people`;
  if (kind === 'reset') return `a new password for ${user}@${domain}`;
  if (kind === 'contact')
    return `to become a contact of ${inviter}${makesAccount ? '' : ', with an account elsewhere'}${many}`;
  const account = role === undefined || role === 'member' ? 'an account' : `an account with the role "${role}"`;
  return `${account} at ${domain}${user === undefined ? '' : `, named ${user}`}${many}`;
}

/** The link for apps, beside the one for browsers. */
const others = ({ page, uri }: Described): string[] => (page === undefined ? [] : [`for XMPP apps: ${uri}`]);

const list = defineOfflineCommand({
  name: 'invite ls',
  readOnly: true,
  summary: 'List invitations that can be used, or all that are remembered',
  args: z.strictObject({
    host,
    all: z.boolean().prefault(false).describe('Also those that were used or revoked, or have expired'),
  }),
  async run(context, args) {
    const domains = args.host === undefined ? context.hosts : [domainOf(context, args.host)];
    const found = await Promise.all(
      domains.map(async (domain) => {
        const store = await context.invitationsOf(domain);
        if (store === undefined && args.host !== undefined) {
          throw new CommandError('not-found', `${domain} has no invitations`);
        }
        return ((await store?.list()) ?? []).map((one) => described(domain, one));
      }),
    );
    return { invitations: found.flat().filter(({ state }) => args.all || state === 'open') };
  },
  render: ({ invitations }) =>
    invitations.length === 0
      ? 'there are no invitations'
      : table(
          ['token', 'for', 'used', 'state', 'note'],
          invitations.map((one) => [
            one.token,
            what(one),
            `${one.usedBy.length}/${one.uses}`,
            one.state === 'open' ? `${since(Math.max(0, Date.parse(one.expires) - Date.now()))} left` : one.state,
            one.note ?? '',
          ]),
        ),
});

const show = defineOfflineCommand({
  name: 'invite show',
  readOnly: true,
  summary: 'Show an invitation, with its links and who has used it',
  args: z.strictObject({ token, host }),
  async run(context, args) {
    const { domain, invitation } = await find(context, args);
    return described(domain, invitation);
  },
  render: (one) =>
    [
      `for      ${what(one)}`,
      `state    ${one.state}`,
      ...(one.page === undefined ? [] : [`page     ${one.page}`]),
      `link     ${one.uri}`,
      ...(one.kind !== 'contact' && one.inviter !== undefined ? [`inviter  ${one.inviter}`] : []),
      ...(one.note === undefined ? [] : [`note     ${one.note}`]),
      `made     ${one.created}${one.source === undefined ? '' : `, by ${one.source}`}`,
      `expires  ${one.expires}`,
      `used     ${one.usedBy.length} of ${one.uses}${one.usedBy.length === 0 ? '' : `: ${one.usedBy.join(', ')}`}`,
    ].join('\n'),
});

const revoke = defineOfflineCommand({
  name: 'invite revoke',
  summary: 'Take an invitation back: nobody can use it any more',
  args: z.strictObject({ token, host }),
  async run(context, args) {
    const { domain } = await find(context, args);
    await within(context, domain, (invitations) => invitations.revoke(args.token));
    return { host: domain, token: args.token };
  },
  render: () => 'the invitation is taken back',
});

export const invitationCommands = [create, list, show, revoke];
