// Profanity, of Debian's packages, as somebody uses it who types: what is expected is what is on the screen.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer } from '../kit/child-server.ts';
import { fillIn, startProfanity } from '../kit/profanity.ts';
import type { Terminal } from '../kit/terminal.ts';

const domain = 'chat.example';

let server: ChildServer;
let romeo: Terminal;
let juliet: Terminal;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, admins: [`romeo@${domain}`], database: 'memory' });
  await server.addUsers(domain, ['romeo', 'juliet']);
  const enter = (user: string): Promise<Terminal> => startProfanity(server, domain, user);
  [romeo, juliet] = await Promise.all([enter('romeo'), enter('juliet')]);
});
afterAll(async () => {
  await Promise.all([romeo, juliet].map((terminal) => terminal?.[Symbol.asyncDispose]()));
  await server?.[Symbol.asyncDispose]();
});

test('a room is made by its form and found in the list, and people talk in it, under other names too', async () => {
  const room = `hall@groups.${domain}`;
  romeo.type(`/join ${room}`);
  await romeo.shows('You have joined the room as romeo, role: moderator, affiliation: owner');
  await romeo.shows('Room locked, requires configuration.');
  romeo.type('/room config');
  await romeo.shows("Use '/form submit' to save changes.");
  await fillIn(romeo, 'Name:', '"The hall"');
  await fillIn(romeo, 'Participants may change the subject:', 'on');
  romeo.type('/form submit');
  await romeo.shows('Room configuration successful');

  juliet.type(`/rooms service groups.${domain}`);
  await juliet.shows(`${room} (The hall)`);
  juliet.type(`/join ${room} nick jule`);
  await juliet.shows('You have joined the room as jule, role: participant, affiliation: none');
  romeo.type('good morrow');
  await juliet.shows('romeo: good morrow');
  juliet.type('ay me');
  await romeo.shows('jule: ay me');
  await juliet.shows('jule: ay me');
  juliet.type('/nick moon');
  await romeo.shows('jule is now known as moon');
  juliet.type('/subject set Feuds');
  await romeo.shows('*moon has set the room subject: Feuds');

  juliet.type('/msg romeo a word with you');
  await juliet.shows('me: a word with you');
  romeo.type('/win 1');
  await romeo.shows(`<< private message: moon in ${room}`);
  romeo.type(`/win ${room}/moon`);
  await romeo.shows('moon: a word with you');
  romeo.type('and with you');
  await juliet.shows('romeo: and with you');
});

test('a moderator puts somebody out, who comes back to what was said, and an owner does so for good', async () => {
  const room = `hall@groups.${domain}`;
  romeo.type(`/win ${room}`);
  await romeo.shows('jule: ay me');
  romeo.type('/kick moon hush');
  await romeo.shows('<- moon has been kicked from the room by romeo, reason: hush');
  juliet.type('/win 1');
  await juliet.shows(`<- Kicked from ${room} by romeo, reason: hush`);
  juliet.type(`/join ${room}`);
  await juliet.shows('You have joined the room as juliet');
  await juliet.shows(/romeo: good morrow .*jule: ay me/);
  await juliet.shows('moon has set the room subject: Feuds');

  romeo.type(`/ban juliet@${domain} hush!`);
  await romeo.shows('<- juliet has been banned from the room by romeo, reason: hush!');
  juliet.type('/win 1');
  await juliet.shows(`<- Banned from ${room} by romeo, reason: hush!`);
  juliet.type(`/join ${room}`);
  await juliet.shows(`Error joining room ${room}, reason: forbidden`);
  romeo.type('/affiliation list outcast');
  await romeo.shows(new RegExp(`Affiliation: outcast \\S+ ! juliet@${domain}`));
  romeo.type('/room destroy');
  await romeo.shows(`<- Room destroyed: ${room}`);
});

test('an invitation lets somebody into a room that is for members', async () => {
  const room = `club@groups.${domain}`;
  romeo.type(`/join ${room}`);
  await romeo.shows('Room locked, requires configuration.');
  romeo.type('/room config');
  await fillIn(romeo, 'Only members may enter:', 'on');
  romeo.type('/form submit');
  await romeo.shows('Room configuration successful');
  juliet.type(`/join ${room}`);
  await juliet.shows(`Error joining room ${room}, reason: registration-required`);

  romeo.type(`/invite send juliet@${domain} come`);
  await juliet.shows(
    new RegExp(`Chat room invite received: .*From : romeo@${domain} .*Room : ${room} .*Message: come`),
  );
  juliet.type(`/join ${room}`);
  await juliet.shows('You have joined the room as juliet, role: participant, affiliation: member');
  juliet.type('here I am');
  await romeo.shows('juliet: here I am');
  juliet.type('/leave');
  romeo.type('gone so soon?');
  await romeo.shows('romeo: gone so soon?');
  juliet.type(`/join ${room}`);
  await juliet.shows('romeo: gone so soon?');
});

test('an admin finds the commands of the server, and runs one (XEP-0050, XEP-0133)', async () => {
  romeo.type('/win 1');
  romeo.type(`/cmd list ${domain}`);
  await romeo.shows('urn:parley:admin:user-role');
  romeo.type(`/cmd exec http://jabber.org/protocol/admin#get-online-users-num ${domain}`);
  await romeo.shows('The number of online users: 2');
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
