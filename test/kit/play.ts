// Plays a scene: each statement of the language and what it does. docs/testing.md lists them.
import { parse as parseYaml } from 'yaml';
import type { ConfigInput } from '../../src/config/server.ts';
import { StreamClient } from './client.ts';
import { turn } from './clock.ts';
import { connectComponent } from './component.ts';
import { authenticate, bind, logIn, type MechanismName, openStream, startTls } from './login.ts';
import { expectation, match } from './matcher.ts';
import { want } from './play-caps.ts';
import { giveRole, runCommand } from './play-operator.ts';
import { changeRoom, joinRoom, makeRoom } from './play-rooms.ts';
import { innerText, type Line, type Scene, wholeText } from './scenario.ts';
import { HOST, PASSWORD, type Person, SceneFailure, type Speaker, Stage, textOf } from './stage.ts';
import { fill } from './template.ts';
import { mergeSettings } from './test-server.ts';
import type { World } from './worlds.ts';
import { print, readXml, viewOf } from './xml-view.ts';

/** Plays a scene in a world. @throws Error with the report when it does not come out as written */
export async function play(scene: Scene, world: World): Promise<void> {
  const stage = new Stage(await world.start(settingsOf(scene)), scene);
  let current: Line | undefined;
  try {
    for (const line of scene.lines) {
      current = line;
      await perform(stage, line);
    }
    current = undefined;
    await stage.finish();
  } catch (error) {
    const problem = error instanceof SceneFailure ? error.message : String((error as Error).stack);
    throw new Error(stage.report(problem, current), { cause: error instanceof SceneFailure ? undefined : error });
  } finally {
    await stage.leave();
    await stage.world.stop();
  }
}

const ROUNDS_TO_SEE_THE_END = 10;

const settingsLine = /^the (host|server) has settings\b/;

function settingsOf(scene: Scene): ConfigInput {
  let settings: ConfigInput = { hosts: { [HOST]: {} } };
  for (const line of scene.lines) {
    const which = settingsLine.exec(line.text);
    if (which === null) continue;
    const given = parseYaml(`${line.text.slice(which[0].length)}\n${innerText(line)}`) as object;
    settings = mergeSettings(settings, which[1] === 'host' ? { hosts: { [HOST]: given } } : given);
  }
  return settings.components === undefined ? settings : mergeSettings(settings, { listen: { component: 0 } });
}

type Action = (stage: Stage, words: readonly string[], line: Line) => void | Promise<void>;

/** The first that matches is performed. Words are what the expression captures. */
const statements: readonly (readonly [RegExp, Action])[] = [
  // the cast
  [settingsLine, () => {}],
  [/^(\w+) has resources? (.+)$/, (stage, [name, list]) => addPerson(stage, name!, list!.split(/,\s*|\s+and\s+/))],
  [/^(\w+) has an account$/, (stage, [name]) => addPerson(stage, name!, [])],
  [/^(\w+) has the role (\S+)$/, giveRole],
  [/^the operator(?: of (\{[^}]+\}|\S+))? runs ([a-z0-9 ]+[a-z])(?: (\{.*\}))?$/s, runCommand],
  [/^(\w+) and (\w+) are contacts$/, (stage, [one, other]) => subscribe(stage, one!, other!, ['to', 'from'])],
  [/^(\w+) sees (\w+)$/, (stage, [watcher, watched]) => subscribe(stage, watcher!, watched!, ['to'])],
  [
    /^(\w+) and (\w+) are in the state (.+)$/,
    (stage, [one, other, state]) => subscribe(stage, one!, other!, state!.split(' + ')),
  ],
  [/^everyone is (online|interested|connected)$/, (stage, [how]) => arrive(stage, [...stage.people.values()], how!)],
  [/^(\S+) is (online|interested|connected)(?: with priority (-?\d+))?$/, arriveOne],
  [/^component (\w+) connects$/, (stage, [name]) => connectAsComponent(stage, name!)],
  [/^(\S+) is offline$/, (stage, [name]) => goOffline(stage, name!)],

  [/^(\S+) wants (.+)$/, want],

  // rooms
  [/^(\S+) makes the room (\S+)(?: as (\S+))?(?: with (\{.*\}))?$/s, makeRoom],
  [/^(\S+) changes the room (\S+) to (\{.*\})$/s, changeRoom],
  [/^(\S+) joins the room (\S+)(?: as (\S+))?$/, joinRoom],

  // streams
  [/^stream (\w+) connects( with TLS)?$/, connectStream],
  [/^stream (\w+) opens to (\{[^}]*\}|\S+)(?: with (.+))?$/, openTo],
  [/^(\S+) restarts$/, (stage, [name]) => stage.speaker(name!).client.restart()],
  [/^(\S+) starts TLS$/, async (stage, [name]) => startTls(stage.speaker(name!).client, HOST)],
  [/^(\S+) does the TLS handshake$/, async (stage, [name]) => void (await stage.speaker(name!).client.startTls(HOST))],
  [/^(\S+) authenticates as (\w+)(?: with (\S+))?$/, authenticateStream],
  [/^(\S+) binds (\S+)$/, bindStream],
  [/^(\S+) is offered (<.+)$/s, (stage, [name, xml]) => checkOffer(stage, name!, xml!, true)],
  [/^(\S+) is not offered (<.+)$/s, (stage, [name, xml]) => checkOffer(stage, name!, xml!, false)],
  [/^(\S+) sends (\d+) times "(.*)"$/, (stage, [name, n, text]) => write(stage, name!, text!.repeat(Number(n)))],
  [/^(\S+) sends bytes ([0-9a-f ]+)$/, (stage, [name, hex]) => write(stage, name!, bytes(hex!))],
  [/^(\S+) closes$/, (stage, [name]) => close(stage, stage.speaker(name!))],
  [/^(\S+) half-closes$/, (stage, [name]) => halfClose(stage, stage.speaker(name!))],
  [/^(\S+) disconnects without closing$/, (stage, [name]) => disconnect(stage, stage.speaker(name!), 'destroy')],
  [/^(\S+) reconnects(?: as (\w+))?$/, (stage, [name, as]) => reconnect(stage, stage.speaker(name!), as)],
  [/^(\S+) resets the connection$/, (stage, [name]) => disconnect(stage, stage.speaker(name!), 'reset')],
  [/^(\S+) is cut off$/, (stage, [name]) => checkCutOff(stage, stage.speaker(name!))],
  [/^(\S+) is closed$/, (stage, [name]) => checkClosed(stage, stage.speaker(name!))],

  [/^the server stops$/, stopServer],
  [/^the server restarts$/, restartServer],

  // what is said and heard
  [/^(\S+) >> (.+)$/s, (stage, [name, text]) => write(stage, name!, fill(text!, stage.names))],
  [/^(\S+) +> (.+)$/s, say],
  [/^(\S+) +<(=?) (.+)$/s, hear],
  [/^in any order:$/, hearInAnyOrder],
  [/^everyone receives nothing$/, (stage) => stage.hearsNothing([...stage.speakers.values()])],
  [/^(\S+) receives nothing$/, (stage, [name]) => stage.hearsNothing([stage.speaker(name!)])],
  [/^everyone ignores the rest$/, (stage) => stage.ignoreRest([...stage.speakers.values()])],
  [/^everyone ignores presence$/, (stage) => stage.ignorePresence([...stage.speakers.values()])],
  [/^(\S+) ignores presence$/, (stage, [name]) => stage.ignorePresence([stage.speaker(name!)])],
  [/^(\S+) alone ignores the rest$/, (stage, [name]) => stage.ignoreRestAlone(stage.speaker(name!))],
  [/^(\S+) ignores the rest$/, (stage, [name]) => stage.ignoreRest([stage.speaker(name!)])],
  [/^a moment passes$/, moment],
  [/^after (\d+) (second|minute|hour|day)s?$/, (stage, [n, unit]) => pass(stage, Number(n), unit!)],
];

async function perform(stage: Stage, line: Line): Promise<void> {
  const text = line.text.endsWith(':') ? line.text : wholeText(line);
  stage.remember('now', new Date(stage.world.clock.now()).toISOString());
  for (const [form, action] of statements) {
    const found = form.exec(text);
    if (found !== null) return action(stage, found.slice(1), line);
  }
  stage.fail('this statement is not in the language; see docs/testing.md');
}

async function addPerson(stage: Stage, name: string, resources: readonly string[]): Promise<void> {
  const user = name.toLowerCase();
  const had = stage.people.get(user);
  if (had === undefined) {
    const { domains } = stage.world;
    const domain = domains[stage.people.size % domains.length] ?? HOST;
    await stage.world.createAccount(`${user}@${domain}`, PASSWORD);
    stage.people.set(user, { name, user, domain, resources: [...resources] });
    stage.remember(user, `${user}@${domain}`);
    stage.remember(`host of ${user}`, domain);
    stage.remember(`HOST of ${user}`, domain.toUpperCase());
  } else had.resources.push(...resources);
  const { domain } = stage.person(user);
  for (const resource of resources) stage.remember(`${user}/${resource}`, `${user}@${domain}/${resource}`);
}

/** What leads to each part of a subscription state (RFC 6121 A.1), as the first sees it: who says it, and what. */
const ways: Readonly<Record<string, readonly (readonly [who: 0 | 1, type: string])[]>> = {
  none: [],
  'pending out': [[0, 'subscribe']],
  'pending in': [[1, 'subscribe']],
  to: [
    [0, 'subscribe'],
    [1, 'subscribed'],
  ],
  from: [
    [1, 'subscribe'],
    [0, 'subscribed'],
  ],
};

/** By the protocol itself, from connections that nobody sees (RFC 6121 3.1). */
async function subscribe(stage: Stage, one: string, other: string, states: readonly string[]): Promise<void> {
  const both: { readonly client: StreamClient; readonly bare: string }[] = [];
  for (const name of [one, other]) {
    const { user, domain } = stage.person(name);
    const { client } = await logIn(stage.world.nextAddress(domain), { domain, user, password: PASSWORD });
    both.push({ client, bare: `${user}@${domain}` });
  }
  for (const state of states) {
    for (const [who, type] of ways[state] ?? stage.fail(`there is no state "${state}"`)) {
      const { client } = both[who]!;
      client.writeQuietly(`<presence to='${both[1 - who]!.bare}' type='${type}'/>`);
      await client.fence();
      await stage.world.settle();
    }
  }
  await stage.quiesce();
  for (const { client } of both) await client.destroy();
}

/** Connected: bound. Interested: has asked for the roster too (RFC 6121 2.2). Online: has sent initial presence too. */
async function arrive(stage: Stage, people: readonly Person[], how: string, priority?: string): Promise<void> {
  const added: Speaker[] = [];
  for (const person of people) {
    for (const resource of person.resources) {
      const isHere = [...stage.speakers.values()].some(
        (one) => one.person === person && resourceOf(one) === resource && !one.client.isClosed,
      );
      if (!isHere) added.push(await enter(stage, person, resource));
    }
  }
  await makeItself(stage, added, how, priority);
}

const resourceOf = (speaker: Speaker): string => speaker.name.split('/').at(-1)!;

async function enter(stage: Stage, person: Person, resource: string): Promise<Speaker> {
  const { client } = await logIn(stage.world.nextAddress(person.domain), {
    domain: person.domain,
    user: person.user,
    password: PASSWORD,
    resource,
  });
  const taken = stage.speakers.get(resource);
  const name = taken === undefined || taken.person === person ? resource : `${person.user}/${resource}`;
  const speaker = stage.add(name, client, person);
  speaker.isBound = true;
  return speaker;
}

async function makeItself(stage: Stage, speakers: readonly Speaker[], how: string, priority?: string): Promise<void> {
  for (const { client } of speakers) {
    if (how !== 'connected') {
      client.writeQuietly("<iq type='get' id='kit-roster'><query xmlns='jabber:iq:roster'/></iq>");
    }
    if (how === 'online') {
      client.writeQuietly(
        priority === undefined ? '<presence/>' : `<presence><priority>${priority}</priority></presence>`,
      );
    }
  }
  await stage.quiesce();
  for (const speaker of speakers) {
    if (how !== 'connected') checkRoster(stage, speaker);
    speaker.client.inbox.length = 0;
    stage.note(speaker.name, ' ', `(${how}${priority === undefined ? '' : `, priority ${priority}`})`);
    stage.follow(speaker);
  }
}

function checkRoster(stage: Stage, { name, client }: Speaker): void {
  const answer = client.inbox.find((item) => item.kind === 'element' && item.element.attrs.id === 'kit-roster');
  if (answer?.kind !== 'element' || answer.element.attrs.type !== 'result') {
    stage.fail(`${name} asked for the roster and got ${answer === undefined ? 'nothing' : textOf(answer)}`);
  }
}

async function arriveOne(stage: Stage, [name, how, priority]: readonly string[]): Promise<void> {
  const person = stage.people.get(name!.toLowerCase());
  if (person !== undefined) return arrive(stage, [person], how!, priority);
  const [owner, resource] = ownerOf(stage, name!);
  const here = stage.speakers.get(name!);
  const isHere = here?.isBound === true && !here.client.isClosed;
  await makeItself(stage, [isHere ? here : await enter(stage, owner, resource)], how!, priority);
}

function ownerOf(stage: Stage, name: string): readonly [Person, string] {
  const [user, resource] = name.includes('/') ? (name.split('/') as [string, string]) : [undefined, name];
  const owner = [...stage.people.values()].find(
    (one) => (user === undefined || one.user === user.toLowerCase()) && one.resources.includes(resource),
  );
  return [owner ?? stage.fail(`nobody here has the resource ${name}`), resource];
}

async function goOffline(stage: Stage, name: string): Promise<void> {
  const person = stage.people.get(name.toLowerCase());
  const leaving = [...stage.speakers.values()].filter((one) => one.name === name || (person && one.person === person));
  for (const speaker of leaving) await close(stage, speaker);
}

/** The component of the domain below the host's that has this name (XEP-0114). */
async function connectAsComponent(stage: Stage, name: string): Promise<void> {
  const domain = `${name}.${HOST}`;
  const client = await connectComponent(stage.world.componentAddress, domain, PASSWORD);
  client.domain = HOST;
  client.speaksFor = domain;
  stage.remember(name, domain);
  const speaker = stage.add(name, client);
  speaker.isBound = true;
  stage.note(name, ' ', '(a component)');
  stage.follow(speaker);
  // until all nodes have heard of it
  await stage.world.settle();
}

async function connectStream(stage: Stage, [name, tls, domain = HOST]: readonly (string | undefined)[]): Promise<void> {
  const client = await StreamClient.connect(stage.world.nextAddress(domain), { tls: tls !== undefined });
  client.domain = domain;
  stage.follow(stage.add(name!, client));
}

async function openTo(stage: Stage, [name, domain, attrs]: readonly string[]): Promise<void> {
  const to = fill(domain!, stage.names);
  if (!stage.speakers.has(name!)) await connectStream(stage, [name, undefined, to]);
  const speaker = stage.speaker(name!);
  speaker.features = await openStream(speaker.client, to, attrs === undefined ? '' : ` ${fill(attrs, stage.names)}`);
}

async function authenticateStream(stage: Stage, [name, who, mechanism]: readonly string[]): Promise<void> {
  const speaker = stage.speaker(name!);
  const { user } = stage.person(who!);
  await authenticate(speaker.client, {
    user,
    password: PASSWORD,
    mechanism: (mechanism ?? 'PLAIN') as MechanismName,
  });
  speaker.features = await openStream(speaker.client, speaker.client.domain);
}

async function bindStream(stage: Stage, [name, resource]: readonly string[]): Promise<void> {
  const speaker = stage.speaker(name!);
  await bind(speaker.client, resource);
  speaker.isBound = true;
}

function checkOffer(stage: Stage, name: string, xml: string, wanted: boolean): void {
  const { features } = stage.speaker(name);
  if (features === undefined) stage.fail(`${name} was offered nothing yet`);
  const expected = expectation(xml, false);
  const isThere = viewOf(features).children.some((child) => match(expected, child, stage.names) !== undefined);
  if (isThere !== wanted) stage.fail(`${name} was offered ${print(features)}`);
}

function write(stage: Stage, name: string, text: string | Buffer): void {
  const speaker = stage.speaker(name);
  speaker.client.write(text);
  speaker.isMidStanza = typeof text !== 'string' || !text.endsWith('>');
}

/** What was written leaves in a packet of its own. Nothing is asked: a stanza may be half written. */
async function moment(stage: Stage): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
  await stage.world.settle();
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** Clients say well-formed XML, printed by ltx; a bare stream says the text as it is. */
function say(stage: Stage, [name, text]: readonly string[]): void {
  const speaker = stage.speaker(name!);
  const filled = fill(text!, stage.names);
  speaker.client.write(speaker.person === undefined ? filled : print(readXml(filled)));
}

async function hear(stage: Stage, [name, exact, xml]: readonly string[]): Promise<void> {
  const speaker = stage.speaker(name!);
  if (xml!.trim() !== '</stream:stream>') {
    await stage.expect(speaker, expectation(xml!, exact === '='));
    // a session that was resumed is bound again
    speaker.isBound ||= speaker.client.isManaged;
    return;
  }
  const item = await stage.next(speaker);
  if (item?.kind !== 'end') stage.fail(`expected the end of the stream, got ${item ? textOf(item) : 'nothing'}`);
}

async function hearInAnyOrder(stage: Stage, _words: readonly string[], line: Line): Promise<void> {
  const wanted = line.inner.map((inner) => {
    const found = /^(\S+) +<(=?) (.+)$/s.exec(wholeText(inner));
    if (found === null) return stage.fail(`line ${inner.number}: only what is heard can stand here`);
    return { speaker: stage.speaker(found[1]!), expected: expectation(found[3]!, found[2] === '=') };
  });
  await stage.expectAll(wanted);
}

async function pass(stage: Stage, count: number, unit: string): Promise<void> {
  const units: Readonly<Record<string, number>> = { second: 1e3, minute: 60e3, hour: 3600e3, day: 86_400e3 };
  await stage.quiesce();
  stage.note('', ' ', `(${count} ${unit}s pass)`);
  await stage.world.clock.advance(count * units[unit]!);
  await stage.world.settle();
}

async function stopServer(stage: Stage): Promise<void> {
  await stage.quiesce();
  for (const speaker of stage.speakers.values()) speaker.mayClose = true;
  await stage.world.stop();
}

async function restartServer(stage: Stage): Promise<void> {
  await stage.quiesce();
  for (const speaker of stage.speakers.values()) speaker.mayClose = true;
  await stage.world.restart();
}

/** RFC 6120 4.4: our closing tag, theirs, then the connection ends. */
async function close(stage: Stage, speaker: Speaker): Promise<void> {
  if (speaker.client.isClosed) return;
  await stage.quiesce();
  speaker.mayClose = true;
  speaker.client.write('</stream:stream>');
  if (!(await speaker.client.closed())) stage.fail(`${speaker.name} closed the stream, and the server did not`);
  const last = speaker.client.inbox.at(-1);
  if (last?.kind !== 'end') stage.fail(`the server did not answer the closing tag of ${speaker.name}`);
  speaker.client.inbox.pop();
  await stage.world.settle();
}

async function halfClose(stage: Stage, speaker: Speaker): Promise<void> {
  speaker.mayClose = true;
  speaker.client.halfClose();
  await stage.world.settle();
}

async function disconnect(stage: Stage, speaker: Speaker, how: 'destroy' | 'reset'): Promise<void> {
  await stage.quiesce();
  speaker.mayClose = true;
  await speaker.client[how]();
  // the node sees the end of the connection some rounds later where others keep the event loop busy
  for (let round = 0; round < ROUNDS_TO_SEE_THE_END; round++) await turn();
  await stage.world.settle();
}

/** Back over a new connection to the same node, logged in and not bound; under another name the old one stays. */
async function reconnect(stage: Stage, old: Speaker, name = old.name): Promise<void> {
  const person = old.person ?? stage.fail(`nobody knows who ${old.name} is`);
  if (name === old.name) {
    if (!old.client.isClosed) stage.fail(`${name} is still connected`);
    if (old.client.inbox.length > 0) stage.fail(`${name} has heard what it did not read`);
  }
  const client = await StreamClient.connect(stage.world.current(old.client.address));
  await openStream(client, HOST);
  await authenticate(client, { user: person.user, password: PASSWORD });
  const features = await openStream(client, HOST);
  // what others said meanwhile waits for it, from whichever node it came
  await stage.world.settle();
  const speaker = stage.add(name, client, person);
  speaker.features = features;
  stage.note(name, ' ', '(a new connection)');
  stage.follow(speaker);
}

async function checkClosed(stage: Stage, speaker: Speaker): Promise<void> {
  speaker.mayClose = true;
  if (!(await speaker.client.closed())) stage.fail(`the connection of ${speaker.name} is still open`);
  // the closing tag may be read before, but need not
  if (speaker.client.inbox[0]?.kind === 'end') speaker.client.inbox.shift();
}

/** Without the manners of XMPP: whatever came before is no longer of interest. */
async function checkCutOff(stage: Stage, speaker: Speaker): Promise<void> {
  await checkClosed(stage, speaker);
  speaker.client.inbox.length = 0;
}
