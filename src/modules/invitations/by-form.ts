// The commands of XEP-0401: a client makes an invitation by a form (XEP-0050).
import type { MaybePromise } from '../../base/maybe.ts';
import type { Command, CommandResult, IqRequest } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { booleanField, formElement, readForm, resultElement, textField } from '../../xmpp/dataform.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Invitation, type InvitationProblem, InvitationRefusal, type Invitations } from './service.ts';

export interface FormParts {
  readonly invitations: Pick<Invitations, 'create'>;
  /** Whether whoever asks may have others make an account. */
  readonly mayInvite: (request: IqRequest) => MaybePromise<boolean>;
  /** Whether whoever asks has an account here. */
  readonly isOurs: (request: IqRequest) => boolean;
  readonly makesAccounts: () => boolean;
  /** Whether a name is for nobody whom somebody else invites. */
  readonly isReserved: (user: string) => boolean;
}

export function invitationCommands(parts: FormParts): Command[] {
  const { invitations, mayInvite, isOurs, makesAccounts, isReserved } = parts;
  return [
    {
      target: 'host',
      node: NS.invite,
      name: 'Invite somebody',
      mayRun: isOurs,
      run: (request) =>
        answered(async () =>
          invitations.create({
            kind: 'contact',
            inviter: request.iq.from.local,
            // 4.1: no `ibr=y` where nobody could make an account by it
            withoutAccount: !makesAccounts() || !(await mayInvite(request)),
            source: 'command',
          }),
        ),
    },
    {
      target: 'host',
      node: NS.inviteAccount,
      name: 'Have somebody make an account',
      mayRun: (request) => makesAccounts() && isOurs(request) && mayInvite(request),
      form: () => formElement(form, { username: '', 'roster-subscription': true }),
      run: (request, submitted) =>
        answered(async () => {
          const wanted = wantedIn(submitted!, request.iq.from.local);
          if (wanted.user !== undefined && isReserved(wanted.user))
            throw new InvitationRefusal('taken', `"${wanted.user}" is reserved`);
          return invitations.create(wanted);
        }),
    },
  ];
}

/** 4.4: no FORM_TYPE is defined for it. */
const form = {
  title: 'Have somebody make an account',
  instructions: 'Whoever opens the link that you get can make an account here, once.',
  fields: {
    username: textField('Username', { desc: 'The name is kept for them; leave it empty to let them choose one.' }),
    'roster-subscription': booleanField('You become contacts of each other'),
  },
};

function wantedIn(submitted: Element, inviter: string): Parameters<Invitations['create']>[0] {
  const { username = '', 'roster-subscription': befriends = false } = readForm(form, submitted);
  const user = username.trim();
  return { kind: 'account', inviter, befriends, source: 'command', ...(user !== '' && { user }) };
}

async function answered(create: () => Promise<Invitation>): Promise<CommandResult> {
  try {
    const { uri, page, expires } = await create();
    const told = { uri, expire: formatDateTime(expires), ...(page !== undefined && { 'landing-url': page }) };
    return { form: resultElement(result, told) };
  } catch (error) {
    throw error instanceof InvitationRefusal ? stanzaErrorFor(error) : error;
  }
}

const result = {
  formType: NS.invitation,
  fields: {
    uri: textField('Link for XMPP apps'),
    'landing-url': textField('Link to a page about it'),
    expire: textField('Holds until'),
  },
};

const conditions: Readonly<Record<InvitationProblem, ConstructorParameters<typeof StanzaError>[0]>> = {
  unknown: 'item-not-found',
  expired: 'item-not-found',
  used: 'item-not-found',
  revoked: 'item-not-found',
  busy: 'resource-constraint',
  'not-allowed': 'not-allowed',
  taken: 'conflict',
  'invalid-name': 'not-acceptable',
  'invalid-password': 'not-acceptable',
  'weak-password': 'not-acceptable',
  'no-account': 'item-not-found',
  'too-many': 'resource-constraint',
  'bad-request': 'bad-request',
};

/** How a client is told of a refusal. */
export const stanzaErrorFor = ({ problem, message }: InvitationRefusal): StanzaError =>
  new StanzaError(conditions[problem], message);
