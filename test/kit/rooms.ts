// Statements about rooms (XEP-0045), for scenes that are about what comes after: a room is made, people enter it.
import { parse as parseYaml } from 'yaml';
import { innerText, type Line } from './scenario.ts';
import type { Speaker, Stage } from './stage.ts';

const MUC = 'http://jabber.org/protocol/muc';

/** Forgets what comes, up to what is waited for. */
async function until(
  stage: Stage,
  { name, client }: Speaker,
  what: string,
  isIt: (text: string) => boolean,
): Promise<void> {
  for (;;) {
    const item = await client.next(5000);
    if (item === undefined) stage.fail(`${name} waits for ${what} in vain`);
    if (item.kind !== 'element') continue;
    const text = item.element.toString();
    if (/^<presence[^>]* type="error"|^<iq[^>]* type="error"/.test(text)) stage.fail(`${name} got ${text}`);
    if (isIt(text)) return;
  }
}

function roomOf(stage: Stage, name: string): string {
  return `${name}@${stage.names.get('rooms')}`;
}

/** Enters, and waits for the subject, which comes last (XEP-0045 7.1). */
async function enter(stage: Stage, speaker: Speaker, room: string, nick: string): Promise<void> {
  speaker.client.writeQuietly(`<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`);
  await until(stage, speaker, 'the subject', (text) => text.includes(`from="${room}`) && text.includes('<subject'));
}

/** `orchard makes the room coven as romeo [with {membersonly: 1}]`: fields of the owner's form, by the last part of their names. */
export async function makeRoom(stage: Stage, [who, name, nick, given]: readonly string[], line: Line): Promise<void> {
  const speaker = stage.speaker(who!);
  const room = roomOf(stage, name!);
  await enter(stage, speaker, room, nick!);
  await configure(stage, speaker, room, given === undefined ? {} : parseYaml(`${given}\n${innerText(line)}`));
  await stage.ignoreRest(stage.bound);
  stage.note(speaker.name, ' ', `(has made the room ${name})`);
}

/** `orchard changes the room coven to {membersonly: 1}`. */
export async function setRoom(stage: Stage, [who, name, given]: readonly string[], line: Line): Promise<void> {
  await configure(stage, stage.speaker(who!), roomOf(stage, name!), parseYaml(`${given}\n${innerText(line)}`));
  await stage.ignoreRest(stage.bound);
}

async function configure(stage: Stage, speaker: Speaker, room: string, settings: object): Promise<void> {
  const fields = Object.entries(settings).map(([name, value]) => {
    const values = (Array.isArray(value) ? value : [value]).map((one) => `<value>${escaped(String(one))}</value>`);
    const full = /[#{]/.test(name) ? name : `muc#roomconfig_${name}`;
    return `<field var='${full}'>${values.join('')}</field>`;
  });
  const type = `<field var='FORM_TYPE' type='hidden'><value>${MUC}#roomconfig</value></field>`;
  const form = `<x xmlns='jabber:x:data' type='submit'>${fields.length === 0 ? '' : type}${fields.join('')}</x>`;
  speaker.client.writeQuietly(
    `<iq type='set' id='kit-room' to='${room}'><query xmlns='${MUC}#owner'>${form}</query></iq>`,
  );
  await until(stage, speaker, 'the room to be configured', (text) => text.includes('id="kit-room"'));
}

/** `balcony enters coven as juliet`; everybody has forgotten what came of it. */
export async function enterRoom(stage: Stage, [who, name, nick]: readonly string[]): Promise<void> {
  await enter(stage, stage.speaker(who!), roomOf(stage, name!), nick!);
  await stage.ignoreRest(stage.bound);
  stage.note(who!, ' ', `(is in ${name} as ${nick})`);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
