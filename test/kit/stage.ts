// The stage: the people of one scene, their connections, what was said and heard, and how a failure is told.
import type { Element } from 'ltx';
import type { Item, StreamClient } from './client.ts';
import { type Expectation, explain, match } from './matcher.ts';
import type { Scene } from './scenario.ts';
import { fillKnown, type Names } from './template.ts';
import type { RunningWorld } from './worlds.ts';
import { print, viewOf } from './xml-view.ts';

/** The domain that every scene plays at; `{host}`. */
export const HOST = 'verona.test';
/** The domain of its rooms; `{rooms}`. */
export const ROOMS = `groups.${HOST}`;
/** The domain of what is published there; `{pubsub}`. */
const PUBSUB = `pubsub.${HOST}`;
/** The domain of the service for files; `{upload}`. */
const UPLOAD = `upload.${HOST}`;
/** Everybody's password. */
export const PASSWORD = 'secret';

export interface Person {
  readonly name: string;
  readonly user: string;
  readonly domain: string;
  readonly resources: string[];
}

/** A connection with a name. */
export interface Speaker {
  readonly name: string;
  readonly person: Person | undefined;
  client: StreamClient;
  /** Bound: it can send pings. */
  isBound: boolean;
  /** What it wrote last is no whole element: a ping would become part of it. */
  isMidStanza: boolean;
  /** The scene knows that the server ends this connection. */
  mayClose: boolean;
  /** What the server offered last. */
  features: Element | undefined;
}

interface Heard {
  readonly speaker: string;
  readonly direction: '>' | '<' | ' ';
  readonly text: string;
  readonly item?: Item;
}

/** A scene that did not come out as written; the message is for people. */
export class SceneFailure extends Error {}

export class Stage {
  readonly world: RunningWorld;
  readonly people = new Map<string, Person>();
  readonly speakers = new Map<string, Speaker>();
  names: Names = new Map([
    ['host', HOST],
    ['rooms', ROOMS],
    ['pubsub', PUBSUB],
    ['upload', UPLOAD],
    // names with braces of their own
    ['memberinvites', '{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites'],
  ]);
  private readonly transcript: Heard[] = [];
  private readonly scene: Scene;

  constructor(world: RunningWorld, scene: Scene) {
    this.world = world;
    this.scene = scene;
  }

  remember(name: string, value: string): void {
    this.names = new Map([...this.names, [name, value]]);
  }

  person(name: string): Person {
    return this.people.get(name.toLowerCase()) ?? this.fail(`nobody here is called ${name}`);
  }

  /** By its own name, by person and resource, or by a person who has only one. */
  speaker(name: string): Speaker {
    const direct = this.speakers.get(name) ?? this.speakers.get(name.toLowerCase());
    if (direct !== undefined) return direct;
    const person = this.people.get(name.toLowerCase());
    const own = [...this.speakers.values()].filter((one) => person !== undefined && one.person === person);
    if (own.length === 1) return own[0]!;
    return this.fail(`there is no connection called ${name}`);
  }

  /** Everybody who is connected and bound. */
  get bound(): readonly Speaker[] {
    return [...this.speakers.values()].filter((one) => one.isBound && !one.client.isClosed);
  }

  add(name: string, client: StreamClient, person?: Person): Speaker {
    const speaker: Speaker = {
      name,
      person,
      client,
      isBound: false,
      isMidStanza: false,
      mayClose: false,
      features: undefined,
    };
    this.speakers.set(name, speaker);
    return speaker;
  }

  /** From now on, what the connection says and hears goes into the transcript. */
  follow({ name, client }: Speaker): void {
    client.watcher = {
      sent: (text) => this.note(name, '>', text),
      received: (item) => this.transcript.push({ speaker: name, direction: '<', text: textOf(item), item }),
      closed: () => this.note(name, ' ', '(connection closed)'),
    };
  }

  note(speaker: string, direction: '>' | ' ', text: string): void {
    this.transcript.push({ speaker, direction, text });
  }

  /** Waits until everything that was said has had all its consequences. */
  async quiesce(): Promise<void> {
    const all = this.bound.filter((one) => !one.isMidStanza);
    await Promise.all(all.map((one) => one.client.fence()));
    await this.world.settle();
    await Promise.all(all.map((one) => one.client.fence()));
    // a connection that is not bound has no ping: it gets a moment
    if (all.length < this.speakers.size) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** The next thing that a connection hears; undefined when there is nothing to come. */
  async next(speaker: Speaker): Promise<Item | undefined> {
    const { client } = speaker;
    if (!speaker.isBound) return client.next();
    const soon = await client.next(100);
    if (soon !== undefined) return soon;
    await this.quiesce();
    return client.next(100);
  }

  /** Reads one expected thing. */
  async expect(speaker: Speaker, expected: Expectation): Promise<void> {
    const item = await this.next(speaker);
    if (item === undefined) return this.mismatch(expected, undefined);
    const names = matchItem(expected, item, this.names);
    if (names === undefined) return this.mismatch(expected, item);
    this.names = names;
  }

  /** Reads as many things as are expected, whatever their order. */
  async expectAll(wanted: readonly { readonly speaker: Speaker; readonly expected: Expectation }[]): Promise<void> {
    const heard: { readonly speaker: Speaker; readonly item: Item }[] = [];
    for (const { speaker } of wanted) {
      const item = await this.next(speaker);
      if (item !== undefined) heard.push({ speaker, item });
    }
    const assign = (rest: typeof wanted, left: typeof heard, names: Names): Names | undefined => {
      const [first, ...others] = rest;
      if (first === undefined) return names;
      for (const [i, one] of left.entries()) {
        if (one.speaker !== first.speaker) continue;
        const known = matchItem(first.expected, one.item, names);
        const done = known && assign(others, left.toSpliced(i, 1), known);
        if (done !== undefined) return done;
      }
      return undefined;
    };
    const names = assign(wanted, heard, this.names);
    if (names === undefined) this.failAll(wanted, heard);
    this.names = names;
  }

  private failAll(
    wanted: readonly { readonly speaker: Speaker; readonly expected: Expectation }[],
    heard: readonly { readonly speaker: Speaker; readonly item: Item }[],
  ): never {
    const missing = wanted.filter(
      ({ speaker, expected }) =>
        !heard.some((one) => one.speaker === speaker && matchItem(expected, one.item, this.names) !== undefined),
    );
    const list = (missing.length > 0 ? missing : wanted).map(
      ({ speaker, expected }) => `  ${speaker.name} < ${this.filled(expected)}`,
    );
    const got = heard.map(({ speaker, item }) => `  ${speaker.name} < ${textOf(item)}`);
    return this.fail(`not all of it came\nmissing:\n${list.join('\n')}\nheard:\n${got.join('\n') || '  nothing'}`);
  }

  private mismatch(expected: Expectation, item: Item | undefined): never {
    const got = item === undefined ? 'nothing' : textOf(item);
    const why = item === undefined || item.kind === 'end' ? [] : explain(expected, viewOf(item.element), this.names);
    const reasons = why.map((reason) => `\n  - ${reason}`).join('');
    return this.fail(
      `expected${expected.exact ? ' exactly' : ''}: ${this.filled(expected)}\ngot:      ${got}${reasons}`,
    );
  }

  private filled(expected: Expectation): string {
    return fillKnown(expected.source, this.names).replace(/\s*\n\s*/g, '');
  }

  /** Proves that a connection has heard nothing that it did not read. */
  async hearsNothing(speakers: readonly Speaker[]): Promise<void> {
    await this.quiesce();
    const unread = speakers.flatMap((one) => one.client.inbox.map((item) => `  ${one.name} < ${textOf(item)}`));
    if (unread.length > 0) this.fail(`expected nothing, but this came:\n${unread.join('\n')}`);
  }

  /** Forgets what a connection heard and did not read. */
  async ignoreRest(speakers: readonly Speaker[]): Promise<void> {
    await this.quiesce();
    for (const { client } of speakers) client.inbox.length = 0;
  }

  /** The same for one connection, without a question to any other: what the server holds back from those stays where it is. */
  async ignoreRestAlone({ client }: Speaker): Promise<void> {
    await client.fence();
    await this.world.settle();
    await client.fence();
    client.inbox.length = 0;
  }

  /** Forgets presence that has come; for scenes in which it may stand anywhere between what they are about. */
  async ignorePresence(speakers: readonly Speaker[]): Promise<void> {
    await this.quiesce();
    for (const { client } of speakers) {
      const rest = client.inbox.filter((item) => item.kind !== 'element' || item.element.name !== 'presence');
      client.inbox.splice(0, client.inbox.length, ...rest);
    }
  }

  /** What holds at the end of every scene: all was read, nobody was thrown out unexpectedly, the server is not broken. */
  async finish(): Promise<void> {
    await this.hearsNothing([...this.speakers.values()]);
    const thrownOut = [...this.speakers.values()].find((one) => one.client.isClosed && !one.mayClose);
    if (thrownOut !== undefined) this.fail(`the server ended the connection of ${thrownOut.name}`);
    const [error] = this.world.errors;
    if (error !== undefined) this.fail(`the server logged an error: ${error.message}\n${describe(error.fields)}`);
  }

  async leave(): Promise<void> {
    await Promise.all([...this.speakers.values()].map(({ client }) => client.destroy()));
  }

  /** @throws SceneFailure always */
  fail(problem: string): never {
    throw new SceneFailure(problem);
  }

  /** The whole report of a failure, where it happened first. */
  report(problem: string, line: { readonly number: number; readonly text: string } | undefined): string {
    const where = `${this.scene.file}:${line?.number ?? this.scene.number}`;
    const width = Math.max(0, ...this.transcript.map(({ speaker }) => speaker.length));
    const unread = new Set([...this.speakers.values()].flatMap(({ client }) => client.inbox));
    const lines = this.transcript.map(({ speaker, direction, text, item }) => {
      const mark = item !== undefined && unread.has(item) ? '  (unread)' : '';
      return `  ${speaker.padEnd(width)} ${direction} ${text}${mark}`;
    });
    const step = line === undefined ? 'at the end of the scene' : line.text;
    return `${where} "${this.scene.title}"\n${step}\n\n${problem}\n\nTranscript:\n${lines.join('\n') || '  (nothing was said)'}\n`;
  }
}

function matchItem(expected: Expectation, item: Item, names: Names): Names | undefined {
  return item.kind === 'end' ? undefined : match(expected, viewOf(item.element), names);
}

export function textOf(item: Item): string {
  if (item.kind === 'end') return '</stream:stream>';
  return item.kind === 'header' ? print(item.element).replace(/\/>$/, '>') : print(item.element);
}

function describe(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([key, value]) => `  ${key}: ${value instanceof Error ? value.stack : JSON.stringify(value)}`)
    .join('\n');
}
