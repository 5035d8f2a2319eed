// XEP-0133 4.11 to 4.22: whom of other servers people talk with, how many users there are, and which.
import { choiceField, jidField, jidsField, textField } from '../../xmpp/dataform.ts';
import { Jid } from '../../xmpp/jid.ts';
import { defineTask, type Task, tell } from './task.ts';

type State = 'registered' | 'disabled' | 'online' | 'active' | 'idle';

/** Users that are listed when nobody says how many at the most. */
const MOST = 5000;

const choices = Object.fromEntries([25, 50, 75, 100, 150, 200].map((n) => [String(n), String(n)]));

const jidsOf = (texts: readonly string[]): Jid[] => texts.flatMap((text) => Jid.parse(text) ?? []);

/** 4.11, 4.12: a whole list is shown, and replaced. */
function editPeers(node: string, name: string, field: string, command: string, instructions: string): Task {
  return defineTask({
    node,
    name,
    instructions,
    fields: { [field]: jidsField('Domains, accounts or resources of other servers') },
    async now(desk) {
      const { jids } = (await desk.run(command, { host: desk.domain })) as { readonly jids: readonly string[] };
      return { [field]: jidsOf(jids) };
    },
    async run(desk, values) {
      await desk.run(command, { host: desk.domain, set: (values[field] ?? []).map(({ full }) => full) });
    },
  });
}

const editWhitelist = (node: string): Task =>
  editPeers(
    node,
    'Edit the whitelist',
    'whitelistjids',
    's2s allowed',
    'Fill in this form to say whom alone of other servers people here talk with. An empty list lets everybody in.',
  );

/** 4.13 to 4.17. */
function count(state: State): Task {
  const field = `${state}usersnum`;
  return defineTask({
    node: `get-${state}-users-num`,
    name: `Get the number of ${state} users`,
    instructions: '',
    fields: {},
    async run(desk) {
      const counts = (await desk.run('user count', { host: desk.domain })) as Readonly<Record<State, number>>;
      return tell({ [field]: textField(`The number of ${state} users`) }, { [field]: String(counts[state]) });
    },
  });
}

/** 4.18 to 4.22. A list that is not whole says so, and after whom the rest begins. */
function listUsers(state: State, node: string, field: string): Task {
  return defineTask({
    node,
    name: `Get the list of ${state} users`,
    instructions: `Fill in this form to get the ${state} users, in the order of their names.`,
    fields: {
      max_items: choiceField<string>('How many at the most', { ...choices, none: 'None' }),
      after: jidField('Only those after this one'),
    },
    now: () => ({ max_items: '100' }),
    async run(desk, { max_items: most = 'none', after }) {
      const limit = most === 'none' ? MOST : Number(most);
      const { accounts, more = false } = (await desk.run('user ls', {
        host: desk.domain,
        state,
        limit,
        ...(after === undefined ? {} : { after: after.full }),
      })) as { readonly accounts: readonly string[]; readonly more?: boolean };
      const result = tell({ [field]: jidsField(`The ${state} users`) }, { [field]: jidsOf(accounts) });
      if (!more) return result;
      return { ...result, note: [{ type: 'warn', text: `There are more, after ${accounts.at(-1)}.` }] };
    },
  });
}

export const listTasks: readonly Task[] = [
  editPeers(
    'edit-blacklist',
    'Edit the blacklist',
    'blacklistjids',
    's2s blocked',
    'Fill in this form to say whom of other servers nobody here talks with.',
  ),
  editWhitelist('add-to-whitelist'),
  // 4.12 calls it so in its examples
  editWhitelist('edit-whitelist'),
  count('registered'),
  count('disabled'),
  count('online'),
  count('active'),
  count('idle'),
  listUsers('registered', 'get-registered-users-list', 'registereduserjids'),
  listUsers('disabled', 'get-disabled-users-list', 'disableduserjids'),
  listUsers('online', 'get-online-users-list', 'onlineuserjids'),
  listUsers('active', 'get-active-users', 'activeuserjids'),
  // 4.22 has this name in its example
  listUsers('idle', 'get-idle-users', 'activeuserjids'),
];
