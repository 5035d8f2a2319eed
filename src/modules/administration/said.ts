// XEP-0133 4.23 to 4.28: what the server says to its people.
import { linesField } from '../../xmpp/dataform.ts';
import type { Desk } from './desk.ts';
import { defineTask, type Task } from './task.ts';

const motd = linesField('Message of the day', { required: true });

const announce = defineTask({
  node: 'announce',
  name: 'Send an announcement to online users',
  instructions: 'Fill in this form to tell something to everybody who is connected now.',
  fields: { announcement: linesField('Announcement', { required: true }) },
  run: (desk, { announcement }) => doneBy(desk, 'announce', { text: announcement }),
});

const setMotd = defineTask({
  node: 'set-motd',
  name: 'Set the message of the day',
  instructions: 'Fill in this form to tell something to everybody once, now or when they come next.',
  fields: { motd },
  run: (desk, { motd: text }) => doneBy(desk, 'motd set', { text }),
});

const editMotd = defineTask({
  node: 'edit-motd',
  name: 'Edit the message of the day',
  instructions: 'Fill in this form to correct the message of the day; who has seen it is not told again.',
  fields: { motd },
  now: async (desk) => ({ motd: await textOf(desk, 'motd show') }),
  run: (desk, { motd: text }) => doneBy(desk, 'motd set', { text, correction: true }),
});

const deleteMotd = defineTask({
  node: 'delete-motd',
  name: 'Delete the message of the day',
  instructions: '',
  fields: {},
  run: (desk) => doneBy(desk, 'motd rm', {}),
});

const setWelcome = defineTask({
  node: 'set-welcome',
  name: 'Set the welcome message',
  instructions: 'Fill in this form to say what new people are told.',
  fields: { welcome: linesField('Welcome message', { required: true }) },
  now: async (desk) => ({ welcome: await textOf(desk, 'welcome show') }),
  run: (desk, { welcome: text }) => doneBy(desk, 'welcome set', { text }),
});

const deleteWelcome = defineTask({
  node: 'delete-welcome',
  name: 'Delete the welcome message',
  instructions: '',
  fields: {},
  run: (desk) => doneBy(desk, 'welcome rm', {}),
});

async function doneBy(desk: Desk, command: string, args: object): Promise<void> {
  await desk.run(command, { ...args, host: desk.domain });
}

async function textOf(desk: Desk, command: string): Promise<string> {
  const { text = '' } = (await desk.run(command, { host: desk.domain })) as { readonly text?: string };
  return text;
}

export const saidTasks: readonly Task[] = [announce, setMotd, editMotd, deleteMotd, setWelcome, deleteWelcome];
