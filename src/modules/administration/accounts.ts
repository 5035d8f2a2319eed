// XEP-0133 4.1 to 4.10: accounts. Each is a command of the registry, asked for by the names of the XEP.
import type { AdminContact } from '../../core/admin-services.ts';
import type { CommandResult } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { jidField, jidsField, passwordField, textField } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { defineTask, type Task, tell } from './task.ts';

/** Accounts that are dealt with in one command. */
const MOST = 1000;

const account = jidField('The account, as name@domain', { required: true });
const accounts = jidsField('The accounts, as name@domain', { required: true });

/**
 * What is done with each of several accounts. One that cannot be done does not keep the others from it: it is told.
 * @param isOfSessions whether a resource means something; elsewhere it is left out (4.2 SHOULD)
 */
async function withEach(
  jids: readonly Jid[],
  work: (jid: string) => Promise<object>,
  isOfSessions = false,
): Promise<{ readonly done: readonly object[]; readonly result: CommandResult }> {
  const all = [...new Set(jids.map((jid) => (isOfSessions ? jid.full : jid.bare)))];
  if (all.length > MOST) throw new StanzaError('not-acceptable', `at most ${MOST} accounts at a time`);
  const done: object[] = [];
  const failed: StanzaError[] = [];
  for (const jid of all) {
    try {
      done.push(await work(jid));
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error;
      failed.push(error);
    }
  }
  if (done.length === 0 && failed.length > 0) throw failed[0];
  // XEP-0050 3.5 MUST
  const note = failed.map(({ text = 'it failed' }) => ({ type: 'error', text }) as const);
  return { done, result: note.length === 0 ? {} : { note } };
}

/** The accounts that something was done with. */
const jidsOf = (done: readonly object[]): Jid[] =>
  done.flatMap((one) => Jid.parse((one as { readonly jid: string }).jid) ?? []);

const addUser = defineTask({
  node: 'add-user',
  name: 'Add a user',
  instructions: 'Fill in this form to add a user. Without a password, one is made up.',
  fields: {
    accountjid: account,
    password: passwordField('The password for this account'),
    'password-verify': passwordField('The password once more'),
    email: textField('Email address'),
    given_name: textField('Given name'),
    surname: textField('Family name'),
  },
  async run(desk, { accountjid, password = '', 'password-verify': again = password, ...card }) {
    if (password !== again) throw new StanzaError('not-acceptable', 'the two passwords are not the same');
    const jid = bareOf(accountjid!);
    const made = password === '' ? { generate: true } : { password };
    const result = (await desk.run('user add', { jid, ...made })) as { readonly password?: string };
    await desk.introduce(accountjid!.local, card);
    return result.password === undefined
      ? {}
      : tell(
          { accountjid: textField('Account'), password: textField('Password') },
          { accountjid: jid, password: result.password },
        );
  },
});

const deleteUser = defineTask({
  node: 'delete-user',
  name: 'Delete users',
  instructions: 'Fill in this form to delete users, and everything they have.',
  fields: { accountjids: accounts },
  run: async (desk, { accountjids }) => (await withEach(accountjids!, (jid) => desk.run('user rm', { jid }))).result,
});

const disableUser = defineTask({
  node: 'disable-user',
  name: 'Disable users',
  instructions: 'Fill in this form to let users in no more until they are enabled again.',
  fields: { accountjids: accounts },
  run: async (desk, { accountjids }) =>
    (await withEach(accountjids!, (jid) => desk.run('user disable', { jid }))).result,
});

const reenableUser = defineTask({
  node: 'reenable-user',
  name: 'Re-enable users',
  instructions: 'Fill in this form to let users in again who were disabled.',
  fields: { accountjids: accounts },
  run: async (desk, { accountjids }) =>
    (await withEach(accountjids!, (jid) => desk.run('user enable', { jid }))).result,
});

const endUserSession = defineTask({
  node: 'end-user-session',
  name: 'End sessions of users',
  instructions: 'Fill in this form to end all sessions of users (name@domain), or one of them (name@domain/resource).',
  fields: { accountjids: accounts },
  // 4.5 MUST: all of an account, or the one that is named
  run: async (desk, { accountjids }) =>
    (await withEach(accountjids!, (jid) => desk.run('session kick', { jid }), true)).result,
});

const changePassword = defineTask({
  node: 'change-user-password',
  name: 'Change the password of a user',
  instructions: 'Fill in this form to give a user another password.',
  fields: { accountjid: account, password: passwordField('The password for this account', { required: true }) },
  async run(desk, { accountjid, password }) {
    await desk.run('user passwd', { jid: bareOf(accountjid!), password });
  },
});

const getRoster = defineTask({
  node: 'get-user-roster',
  name: 'Get the rosters of users',
  instructions: 'Fill in this form to get the rosters of users.',
  fields: { accountjids: accounts },
  async run(desk, { accountjids }) {
    const { done, result } = await withEach(accountjids!, (jid) => desk.run('user roster', { jid }));
    const rosters = done as readonly { readonly jid: string; readonly contacts: readonly AdminContact[] }[];
    const { form } = tell({ accountjids: accounts }, { accountjids: jidsOf(done) });
    return { ...result, form: form.append(...rosters.map(({ contacts }) => rosterOf(contacts))) };
  },
});

/** 4.8: as in jabber:iq:roster, one for each account, in their order. */
function rosterOf(contacts: readonly AdminContact[]): Element {
  const items = contacts.map(({ jid, name, subscription, ask, groups }) =>
    el(
      'item',
      NS.roster,
      { jid, name, subscription, ask: ask && 'subscribe' },
      ...groups.map((group) => el('group', NS.roster, undefined, group)),
    ),
  );
  return el('query', NS.roster, undefined, ...items);
}

const lastLogin = defineTask({
  node: 'get-user-lastlogin',
  name: 'Get when users were last there',
  instructions: 'Fill in this form to learn when users were last there.',
  fields: { accountjids: accounts },
  async run(desk, { accountjids }) {
    const { done, result } = await withEach(accountjids!, (jid) => desk.run('user last', { jid }));
    const known = (done as readonly { readonly jid: string; readonly at?: string }[]).map(({ at }) => at ?? 'never');
    const { form } = tell({ accountjids: accounts }, { accountjids: jidsOf(done) });
    const values = known.map((at) => el('value', NS.dataForms, undefined, at));
    const times = el('field', NS.dataForms, { var: 'lastlogin', type: 'text-multi', label: 'Last there' }, ...values);
    return { ...result, form: form.append(times) };
  },
});

const userStats = defineTask({
  node: 'user-stats',
  name: 'Get the statistics of a user',
  instructions: 'Fill in this form to learn of a user’s roster and devices.',
  fields: { accountjid: account },
  async run(desk, { accountjid }) {
    const stats = (await desk.run('user stats', { jid: bareOf(accountjid!) })) as {
      readonly contacts: number;
      readonly resources: readonly string[];
      readonly addresses: readonly string[];
    };
    const { form } = tell({ rostersize: textField('Contacts') }, { rostersize: String(stats.contacts) });
    return {
      form: form.append(
        list('ipaddresses', 'Addresses of the devices', stats.addresses),
        list('onlineresources', 'Devices that are connected', stats.resources),
      ),
    };
  },
});

function list(name: string, label: string, values: readonly string[]): Element {
  const shown = values.map((value) => el('value', NS.dataForms, undefined, value));
  return el('field', NS.dataForms, { var: name, type: 'text-multi', label }, ...shown);
}

/** @throws StanzaError for what is no account */
function bareOf(jid: Jid): string {
  if (!jid.isBare || jid.local === '') throw new StanzaError('not-acceptable', `${jid.full} is no account`);
  return jid.full;
}

export const accountTasks: readonly Task[] = [
  addUser,
  deleteUser,
  disableUser,
  reenableUser,
  endUserSession,
  changePassword,
  getRoster,
  lastLogin,
  userStats,
];
