// The core of the Prose app, as its people have it: channels of both kinds and groups, what is said in them, profiles, pictures, the
// workspace, and whom somebody does not want to hear of.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, until } from '../kit/child-server.ts';
import { ProseUser } from '../kit/prose.ts';

const domain = 'prose.example';
const PICTURE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** Each step has a limit of its own. */
const timeout = 90_000;

let server: ChildServer;
let alice: ProseUser;
let bob: ProseUser;
let carol: ProseUser;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, database: 'memory' });
  await server.addUsers(domain, ['alice', 'bob', 'carol']);
  const workspace = await server.cli(['workspace', 'set', domain, '--name', 'The office', '--color', '#2b7fff']);
  if (workspace.code !== 0) throw new Error(workspace.stderr);
  alice = await ProseUser.logIn(server, domain, 'alice');
  bob = await ProseUser.logIn(server, domain, 'bob');
  carol = await ProseUser.logIn(server, domain, 'carol');
}, timeout);
afterAll(async () => {
  await Promise.all([alice, bob, carol].map((one) => one?.[Symbol.asyncDispose]()));
  await server?.[Symbol.asyncDispose]();
});

/** Asks until it is so. */
async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  if (!(await until(15_000, holds, 150))) throw new Error(`it is never so: ${what}`);
}

const seesRoom = (one: ProseUser, room: string): Promise<void> =>
  eventually(`${room} is seen`, async () =>
    (await one.do('rooms')).some(({ id, name }) => id === room || name === room),
  );

/** Everybody is in it and sees everybody, reads what all say, and its topic. */
async function talkIn(room: string, kind: string): Promise<void> {
  const all = [alice, bob, carol];
  const names = ['alice', 'bob', 'carol'];
  for (const one of all) {
    await eventually(`all are in ${room}`, async () => {
      const found = (await one.do('rooms')).find(({ id }) => id === room);
      return (
        found?.isConnected === true && names.every((name) => found.people.some((seen) => seen.toLowerCase() === name))
      );
    });
  }
  await alice.do('say', room, `${kind}, says Alice`);
  await bob.do('say', room, `${kind}, says Bob`);
  for (const one of all) {
    await eventually(`all read what is said in ${room}`, async () => {
      const texts = (await one.do('messages', room)).map(({ text }) => text);
      return [`${kind}, says Alice`, `${kind}, says Bob`].every((text) => texts.includes(text));
    });
  }
  await alice.do('setTopic', room, `about ${kind}`);
  await eventually(`the topic of ${room}`, async () =>
    (await bob.do('rooms')).some(({ id, subject }) => id === room && subject === `about ${kind}`),
  );
}

test('a public channel is found by its name, and people come into it of themselves', { timeout }, async () => {
  const square = await alice.do('makePublicChannel', 'The square');
  await expect(bob.do('makePublicChannel', 'The square')).rejects.toThrow();
  expect(await bob.do('publicChannels')).toEqual(['The square']);
  await bob.do('join', square);
  await alice.do('invite', square, 'carol');
  await seesRoom(carol, square);
  await talkIn(square, 'weather');

  await bob.do('react', square, 'says Alice', '👍');
  await eventually('a reaction', async () =>
    (await alice.do('messages', square)).some(({ text, reactions }) => /Alice/.test(text) && reactions.includes('👍')),
  );
  {
    await using tablet = await ProseUser.logIn(server, domain, 'alice');
    // its bookmarks bring it there
    await eventually('a second device is in the room, as the same person', async () => {
      const found = (await tablet.do('rooms')).find(({ id }) => id === square);
      return found?.isConnected === true && found.people.length === 3;
    });
    await eventually('a second device reads what was said', async () =>
      (await tablet.do('messages', square)).some(({ text }) => text === 'weather, says Bob'),
    );
  }
  await alice.do('destroy', square);
  await eventually('the channel is gone', async () =>
    (await bob.do('rooms')).every(({ id, isConnected }) => id !== square || !isConnected),
  );
});

test('who is invited into a private channel invites others', { timeout }, async () => {
  const kitchen = await alice.do('makePrivateChannel', 'The kitchen');
  await alice.do('invite', kitchen, 'bob');
  await seesRoom(bob, kitchen);
  await bob.do('invite', kitchen, 'carol');
  await seesRoom(carol, kitchen);
  expect(await carol.do('publicChannels')).not.toContain('The kitchen');
  await talkIn(kitchen, 'supper');

  const reads = async (wanted: RegExp): Promise<boolean> =>
    (await bob.do('messages', kitchen)).some(({ text }) => wanted.test(text));
  await alice.do('correct', kitchen, 'supper, says Alice', 'breakfast');
  await eventually('a correction', () => reads(/^breakfast/));
  await alice.do('retract', kitchen, 'breakfast');
  await eventually('a retraction', async () => !(await reads(/breakfast|says Alice/)));
  await alice.do('rename', kitchen, 'The larder');
  await seesRoom(bob, 'The larder');
});

test('a group is there for all who are in it', { timeout }, async () => {
  const group = await alice.do('makeGroup', 'bob', 'carol');
  for (const one of [bob, carol]) await seesRoom(one, group);
  await talkIn(group, 'plans');
  await bob.do('type', group);
  await eventually('who types is seen', async () => (await alice.do('typists', group)).length === 1);
});

test('people find each other with names and pictures, and talk', { timeout }, async () => {
  await bob.do('saveProfile', 'Bob', 'Smith', 'bob@work.example');
  await bob.do('savePicture', PICTURE, 'image/png');
  await alice.do('addContact', 'bob');
  await eventually('a request', async () => (await bob.do('approveAll')) > 0);
  await eventually('a contact who is here', async () =>
    (await alice.do('contacts')).some(({ jid, isHere }) => jid === `bob@${domain}` && isHere),
  );
  await eventually('a profile', async () => (await alice.do('profile', 'bob'))?.email === 'bob@work.example');
  await eventually('a picture', async () => (await alice.do('picture', 'bob'))?.endsWith(PICTURE) === true);
  await bob.do('saveActivity', '🍝', 'at lunch');
  await eventually('an activity', async () =>
    (await alice.do('contacts')).some(({ jid, status }) => jid === `bob@${domain}` && status === 'at lunch'),
  );

  const talk = await alice.do('talkTo', 'bob');
  await alice.do('say', talk, 'a word with you');
  await seesRoom(bob, `alice@${domain}`);
  await eventually('what is said to somebody', async () =>
    (await bob.do('messages', `alice@${domain}`)).some(({ text }) => text === 'a word with you'),
  );
});

test('the workspace has the name and the colour that were given to it', { timeout }, async () => {
  await eventually('a workspace', async () => {
    const { name, color } = await carol.do('workspace');
    return name === 'The office' && color?.toLowerCase() === '#2b7fff';
  });
});

test('somebody blocks somebody, and thinks better of it', { timeout }, async () => {
  await carol.do('block', 'bob');
  expect(await carol.do('blocked')).toEqual([`bob@${domain}`]);
  await carol.do('unblock', 'bob');
  expect(await carol.do('blocked')).toEqual([]);
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
