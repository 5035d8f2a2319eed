// XEP-0133: Service Administration, and all other commands for administrators, as ad-hoc commands of the domain. Both are the registry of the
// command line under other names.
//
// - 4.6, get-user-password, is retracted; nobody here knows a password.
// - 4.9: the time is the newest that is known: when the devices that are connected came, else when one was last there; `never` where there is none.
// - 4.10: bandwidth, and the frequency of logins and stanzas, are not told: nobody counts them by account.
// - 4.11, 4.12: blocking is bidirectional; there is no command for one direction only.
// - 4.16: idle is who is away, or waits to be resumed, on all devices. What clients tell of themselves by XEP-0352 nobody else is to know.
// - 4.18 to 4.22: a list of more than 5000 is cut, and a field (`after`) says where the next one begins.
// - 4.30, 4.31: of the nodes of the machine that was asked.
// - 4.29 to 4.31 and what concerns the whole server is for those who administer all of it: see desk.ts.
import { defineModule } from '../../core/module.ts';
import { el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import { profiles } from '../vcard4/index.ts';
import { accountTasks } from './accounts.ts';
import { Desks, type Introduction } from './desk.ts';
import { genericCommands } from './generic.ts';
import { listTasks } from './lists.ts';
import { saidTasks } from './said.ts';
import { serverTasks } from './server.ts';
import { offerTask } from './task.ts';

export default defineModule({
  xeps: ['XEP-0133 1.3.1'],
  summary: 'Lets administrators do from their clients what the command line can',

  setup({ host, admin, find, clock, log }) {
    if (host.settings.authentication === 'anonymous') return {};

    /** What is said of a new user is their profile. */
    async function introduce(user: string, { given_name, surname, email }: Introduction): Promise<void> {
      const name = [given_name, surname].filter(Boolean).join(' ');
      if (name === '' && !email) return;
      const text = (of: string, value = ''): ReturnType<typeof el> =>
        el(of, NS.vcard4Xml, undefined, el('text', NS.vcard4Xml, undefined, value));
      const part = (of: string, value = ''): ReturnType<typeof el> => el(of, NS.vcard4Xml, undefined, value);
      const card = el(
        'vcard',
        NS.vcard4Xml,
        undefined,
        text('fn', name || user),
        ...(name === '' ? [] : [el('n', NS.vcard4Xml, undefined, part('surname', surname), part('given', given_name))]),
        ...(email ? [text('email', email)] : []),
      );
      await find(profiles)?.write(user, card);
    }

    function after(ms: number, what: string, work: () => Promise<void>): void {
      clock.after(ms, () => {
        work().catch((error: unknown) =>
          log.error({ err: error, command: what }, 'what was announced could not be done'),
        );
      });
    }

    const desks = new Desks(host, admin, introduce);
    const tasks = [...accountTasks, ...listTasks, ...saidTasks, ...serverTasks];
    return { commands: [...tasks.map((task) => offerTask(task, desks, after)), ...genericCommands(desks)] };
  },
});
