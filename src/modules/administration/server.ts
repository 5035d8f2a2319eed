// XEP-0133 4.29 to 4.31: who administers the server, and its end.
import { ADMIN, MEMBER } from '../../config/roles.ts';
import { choiceField, jidsField, linesField } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Desk } from './desk.ts';
import { defineTask, type Occasion, type Task } from './task.ts';

/** Accounts with the role, and whom the settings name. */
async function adminsOf(desk: Desk): Promise<readonly Jid[]> {
  const { roles } = (await desk.run('user ls', { host: desk.domain })) as { readonly roles: Record<string, string> };
  const byRole = Object.keys(roles).filter((jid) => roles[jid] === ADMIN);
  const all = new Set([...desk.admin.adminsOf(desk.domain), ...byRole]);
  return [...all].sort().flatMap((text) => Jid.parse(text) ?? []);
}

const editAdmin = defineTask({
  node: 'edit-admin',
  name: 'Edit the list of admins',
  instructions: 'Fill in this form to say who administers this domain. Those whom the settings name stay on the list.',
  fields: { adminjids: jidsField('The admins') },
  now: async (desk) => ({ adminjids: await adminsOf(desk) }),
  async run(desk, { adminjids = [] }, { asker }) {
    const wanted = new Set(adminjids.map(({ full }) => full));
    const was = (await adminsOf(desk)).map(({ full }) => full);
    const gone = was.filter((jid) => !wanted.has(jid));
    const fixed = gone.find((jid) => desk.admin.adminsOf(desk.domain).includes(jid));
    if (fixed !== undefined) throw new StanzaError('not-allowed', `${fixed} is an admin by the settings of the server`);
    // whoever sends an empty list does not lock everybody out
    if (gone.includes(asker.bare)) throw new StanzaError('not-allowed', 'nobody takes that from themselves');
    for (const jid of wanted) if (!was.includes(jid)) await desk.run('user role', { jid, role: ADMIN });
    for (const jid of gone) await desk.run('user role', { jid, role: MEMBER });
  },
});

const delay = choiceField('How long until then', {
  30: '30 seconds',
  60: '60 seconds',
  90: '90 seconds',
  120: '2 minutes',
  180: '3 minutes',
  240: '4 minutes',
  300: '5 minutes',
});
const announcement = linesField('Announcement');

/** Everybody hears of it now, and it is done later; at once where nobody says when. */
async function later(
  desk: Desk,
  {
    command,
    seconds,
    said,
  }: { readonly command: string; readonly seconds: string | undefined; readonly said: string | undefined },
  { after }: Occasion,
): Promise<void> {
  if (said !== undefined && said.trim() !== '') {
    for (const host of desk.admin.hosts) {
      if ((await desk.admin.announcementsOf(host)) !== undefined) await desk.run('announce', { text: said, host });
    }
  }
  after(Number(seconds ?? 0) * 1000, command, async () => void (await desk.run(command, {})));
}

const restart = defineTask({
  node: 'restart',
  name: 'Restart the service',
  instructions:
    'Fill in this form to replace the nodes of this machine, one after another; nobody is disconnected for long.',
  isWide: true,
  fields: { delay, announcement },
  run: (desk, { delay: seconds, announcement: said }, occasion) =>
    later(desk, { command: 'restart', seconds, said }, occasion),
});

const shutdown = defineTask({
  node: 'shutdown',
  name: 'Shut down the service',
  instructions: 'Fill in this form to stop the nodes of this machine.',
  isWide: true,
  fields: { delay, announcement },
  run: (desk, { delay: seconds, announcement: said }, occasion) =>
    later(desk, { command: 'stop', seconds, said }, occasion),
});

export const serverTasks: readonly Task[] = [editAdmin, restart, shutdown];
