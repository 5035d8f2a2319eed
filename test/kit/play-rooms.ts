// What scenes say of rooms in a word (XEP-0045): making one and entering one, where that is not what the scene is about.
import type { Element } from 'ltx';
import { parse as parseYaml } from 'yaml';
import { ROOMS, type Speaker, type Stage, textOf } from './stage.ts';

const MUC = 'http://jabber.org/protocol/muc';
/** What the fields of the owner's form are called, but for some. */
const MUC_CONFIG = 'muc#roomconfig_';
const FORMS = 'jabber:x:data';

/** `orchard makes the room coven as Romeo with {membersonly: 1}`: it is there, unlocked, with these settings. */
export async function makeRoom(stage: Stage, words: readonly (string | undefined)[]): Promise<void> {
  const [name, room, nick, settings] = words;
  const maker = stage.speaker(name!);
  const codes = await enter(stage, maker, room!, nick);
  // 10.1.1: the room is new
  if (!codes.includes('201')) stage.fail(`the room ${room} was there already`);
  await configure(stage, maker, room!, settings);
  end(stage, maker, `makes the room ${room}`);
}

/** `orchard changes the room coven to {membersonly: 1}`. */
export async function changeRoom(stage: Stage, [name, room, settings]: readonly string[]): Promise<void> {
  const owner = stage.speaker(name!);
  await configure(stage, owner, room!, settings);
  end(stage, owner, `changes the room ${room}`);
}

/** Fills in the owner's form; the fields' names without `muc#roomconfig_`, or whole. */
async function configure(stage: Stage, owner: Speaker, room: string, settings: string | undefined): Promise<void> {
  const given = Object.entries(parseYaml(settings ?? '{}') as object);
  const fields = given.map(([name, value]): [string, unknown] => [
    /[#{]/.test(name) ? name : `${MUC_CONFIG}${name}`,
    value,
  ]);
  const form = [['FORM_TYPE', `${MUC}#roomconfig`] as const, ...fields].map(
    ([field, value]) => `<field var='${field}'>${values(value)}</field>`,
  );
  const x = `<x xmlns='${FORMS}' type='submit'>${settings === undefined ? '' : form.join('')}</x>`;
  owner.client.writeQuietly(
    `<iq type='set' id='kit-room' to='${room}@${ROOMS}'><query xmlns='${MUC}#owner'>${x}</query></iq>`,
  );
  await stage.quiesce();
  const answer = elements(owner).find(({ attrs }) => attrs.id === 'kit-room');
  if (answer?.attrs.type !== 'result') stage.fail(`the settings of ${room} were answered by ${answer ?? 'nothing'}`);
}

/** `balcony joins the room coven as Juliet`: it is in, has read who is there, and everybody has seen it. */
export async function joinRoom(stage: Stage, words: readonly (string | undefined)[]): Promise<void> {
  const [name, room, nick] = words;
  const visitor = stage.speaker(name!);
  const codes = await enter(stage, visitor, room!, nick);
  if (codes.includes('201')) stage.fail(`there was no room ${room}`);
  end(stage, visitor, `joins the room ${room}`);
}

/** @returns the status codes of the presence that says that it is in */
async function enter(stage: Stage, speaker: Speaker, room: string, given: string | undefined): Promise<string[]> {
  const nick = given ?? speaker.person?.name ?? stage.fail(`${speaker.name} has no nick`);
  stage.remember(room, `${room}@${ROOMS}`);
  stage.remember(`${room}/${nick}`, `${room}@${ROOMS}/${nick}`);
  const to = `${room}@${ROOMS}/${nick.replaceAll('&', '&amp;').replaceAll("'", '&apos;')}`;
  speaker.client.writeQuietly(`<presence to='${to}' id='kit-join'><x xmlns='${MUC}'/></presence>`);
  await stage.quiesce();
  for (const element of elements(speaker)) {
    const codes = (element.getChild('x', `${MUC}#user`)?.getChildren('status') ?? []).map(({ attrs }) => attrs.code);
    if (element.name === 'presence' && codes.includes('110')) return codes;
  }
  const heard = speaker.client.inbox.map(textOf).join('\n') || 'nothing';
  return stage.fail(`${speaker.name} wanted to enter ${room}, and got ${heard}`);
}

/** What came of it nobody has to read. */
function end(stage: Stage, { name }: Speaker, what: string): void {
  for (const { client } of stage.speakers.values()) client.inbox.length = 0;
  stage.note(name, ' ', `(${what})`);
}

function elements({ client }: Speaker): Element[] {
  return client.inbox.flatMap((item) => (item.kind === 'element' ? [item.element] : []));
}

const values = (value: unknown): string =>
  (Array.isArray(value) ? value : [value])
    .map((one) => `<value>${String(one).replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</value>`)
    .join('');
