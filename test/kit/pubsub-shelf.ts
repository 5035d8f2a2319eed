// Nodes without a server: what a service says and stores is there to be read. The stores are those of the memory driver.
import type { MaybePromise } from '../../src/base/maybe.ts';
import { HookTable } from '../../src/core/hooks.ts';
import type { Registration } from '../../src/core/module.ts';
import { Asked } from '../../src/modules/pubsub/asked.ts';
import { decide, decidedNode } from '../../src/modules/pubsub/authorize.ts';
import { type NodeConfig, plainConfig } from '../../src/modules/pubsub/config.ts';
import { describeNode, listItems } from '../../src/modules/pubsub/discovery.ts';
import type { Contact, Policy, ShelfPorts } from '../../src/modules/pubsub/ports.ts';
import { answerOfNode, answerOfService, nodeNamed, withInstantName } from '../../src/modules/pubsub/requests.ts';
import { Shelf } from '../../src/modules/pubsub/shelf.ts';
import { directoryOf, type NodeStores, StoredRows, stores } from '../../src/modules/pubsub/stores.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { parseElement } from '../../src/xml/document.ts';
import type { Element } from '../../src/xml/element.ts';
import { StanzaError } from '../../src/xmpp/errors.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { FakeClock } from './clock.ts';

export const SERVICE = 'pubsub.verona.test';

/** Something that the service sent: to whom, and what. */
export interface Told {
  readonly to: string;
  readonly element: Element;
}

export interface TestShelfOptions {
  readonly policy?: Partial<Policy>;
  readonly handlers?: readonly Registration[];
  /** What somebody is to an owner, by `owner who`, bare JIDs. */
  readonly contacts?: Readonly<Record<string, Contact>>;
}

export class TestShelf {
  readonly clock: FakeClock;
  readonly told: Told[] = [];
  /** How often one element went to somebody, whatever their number. */
  elements = 0;
  readonly contacts: Record<string, Contact>;
  /** Who is available, by full or bare JID; of those who are not in here nobody knows. */
  readonly present = new Map<string, boolean>();
  /** Who listens without having subscribed. */
  listeners: readonly string[] = [];
  readonly stores: NodeStores;
  shelf: Shelf;
  private readonly options: TestShelfOptions;
  private readonly work = new Set<Promise<unknown>>();
  private lastId = 0;

  private constructor(opened: NodeStores, clock: FakeClock, options: TestShelfOptions) {
    this.clock = clock;
    this.stores = opened;
    this.options = options;
    this.contacts = { ...options.contacts };
    this.shelf = this.restart();
  }

  static async open(options: TestShelfOptions = {}): Promise<TestShelf> {
    const clock = new FakeClock();
    const opened = await createMemoryDriver(clock).open('test', 'pubsub', stores);
    return new TestShelf(opened as unknown as NodeStores, clock, options);
  }

  /** Nothing is in memory any more. */
  restart(): Shelf {
    this.shelf = new Shelf(jid(SERVICE), this.ports());
    return this.shelf;
  }

  /** Asks as somebody: the children of `<pubsub/>`. @returns those of the answer, as XML, or the conditions it was refused with */
  async ask(from: string, type: 'get' | 'set', children: string, ns: string = NS.pubsub): Promise<string> {
    const payload = parseElement(`<pubsub xmlns='${ns}'>${children}</pubsub>`);
    try {
      const asked = withInstantName(new Asked(jid(from), type, payload), () => this.newId());
      const answer: MaybePromise<Element | undefined> =
        nodeNamed(asked) === undefined ? answerOfService(this.shelf, asked) : answerOfNode(this.shelf, asked);
      const element = await answer;
      await this.settled();
      return element === undefined ? '' : innerXml(element);
    } catch (error) {
      await this.settled();
      return refusalOf(error);
    }
  }

  get(from: string, children: string): Promise<string> {
    return this.ask(from, 'get', children);
  }
  set(from: string, children: string): Promise<string> {
    return this.ask(from, 'set', children);
  }
  /** In the namespace for owners. */
  getAsOwner(from: string, children: string): Promise<string> {
    return this.ask(from, 'get', children, NS.pubsubOwner);
  }
  setAsOwner(from: string, children: string): Promise<string> {
    return this.ask(from, 'set', children, NS.pubsubOwner);
  }

  /** Sends the service a message, as an owner who decides about a request does. @returns the conditions of a refusal */
  async say(from: string, message: string): Promise<string> {
    const element = parseElement(message);
    try {
      const node = decidedNode(element);
      if (node !== undefined) await decide(this.shelf, node, jid(from), element);
      await this.settled();
      return '';
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** Asks by service discovery for a node. @returns what it tells, as XML */
  async discover(from: string, what: 'info' | 'items', node: string, inside = ''): Promise<string> {
    const payload = parseElement(`<query xmlns='${what === 'info' ? NS.discoInfo : NS.discoItems}'>${inside}</query>`);
    const asked = new Asked(jid(from), 'get', payload);
    try {
      const found = await (what === 'info' ? describeNode : listItems)(this.shelf, node, asked);
      return found.map((one) => one.toXml(payload.ns)).join('');
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** Makes a node of romeo's, with fields of the form. */
  async create(
    node: string,
    fields: Readonly<Record<string, string>> = {},
    owner = 'romeo@verona.test/orchard',
  ): Promise<void> {
    const answer = await this.set(
      owner,
      `<create node='${node}'/><configure>${form(NS.pubsubNodeConfig, fields)}</configure>`,
    );
    if (!answer.startsWith('<create')) throw new Error(answer);
    this.told.length = 0;
  }

  /** Publishes an item with an id and a payload, as its owner unless said. */
  publish(node: string, id: string, text = id, from = 'romeo@verona.test/orchard'): Promise<string> {
    return this.set(
      from,
      `<publish node='${node}'><item id='${id}'><note xmlns='urn:note'>${text}</note></item></publish>`,
    );
  }

  /** What was sent since the last time that was asked, in lines: to whom, and what is in the message. */
  heard(to?: string): string[] {
    const mine = this.told.filter((one) => to === undefined || one.to === to);
    this.told.splice(0, this.told.length, ...this.told.filter((one) => !mine.includes(one)));
    return mine.map((one) => `${one.to}: ${summary(one.element)}`);
  }

  /** What is under way in the background is done. */
  async settled(): Promise<void> {
    while (this.work.size > 0) await Promise.all(this.work);
  }

  private newId(): string {
    return `id${++this.lastId}`;
  }

  private ports(): ShelfPorts {
    const { options, clock } = this;
    const hooks = new HookTable(
      (options.handlers ?? []).flatMap((one) => (one.kind === 'hook' ? [{ ...one.handler, module: 'test' }] : [])),
      (_hook, _module, error) => {
        throw error;
      },
    );
    const lease = {
      key: '',
      token: 1,
      isAfterDeath: false,
      isValid: true,
      confirm: async () => true,
      release: () => {},
    };
    return {
      hooks: {
        gate: (hook, event) => hooks.runGate(hook, event),
        collect: (hook, event) => hooks.runCollect(hook, event),
        notify: (hook, event) => hooks.runNotify(hook, event),
      },
      people: {
        contact: (owner, who) => this.contacts[`${owner} ${who.bare}`],
        isPresent: (who) => this.present.get(who.full),
      },
      policy: {
        standing: () => undefined,
        mayCreate: () => true,
        createsOnPublish: false,
        defaults: (): NodeConfig => plainConfig,
        mostItems: 1000,
        mostPayload: 65_536,
        mostSubscriptions: 10,
        pageSize: 100,
        ...options.policy,
      },
      directory: directoryOf(this.stores, 'pubsub'),
      rows: new StoredRows(this.stores, 'pubsub', lease),
      now: () => clock.now(),
      newId: () => this.newId(),
      tell: (element, to) => {
        this.elements++;
        for (const one of to) this.told.push({ to: one.full, element });
      },
      listeners: () => this.listeners.map(jid),
      background: (work) => {
        const done = work.finally(() => this.work.delete(done));
        this.work.add(done);
      },
    };
  }
}

export function jid(text: string): Jid {
  const parsed = Jid.parse(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** A form that was filled in; values of a field are parted by `|`. */
export function form(formType: string, fields: Readonly<Record<string, string>>): string {
  const parts = Object.entries(fields).map(([name, values]) => {
    const lines = values.split('|').map((value) => `<value>${value}</value>`);
    return `<field var='pubsub#${name}'>${lines.join('')}</field>`;
  });
  return `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${formType}</value></field>${parts.join('')}</x>`;
}

function innerXml(element: Element): string {
  return element
    .elements()
    .map((child) => child.toXml(element.ns))
    .join('');
}

/** The conditions of a refusal; the same as a name for each. */
function refusalOf(error: unknown): string {
  if (!(error instanceof StanzaError)) throw error;
  const { condition, extra, content, beside } = error;
  const feature = extra?.attrs.feature;
  const parts = [condition, extra && (feature === undefined ? extra.name : `${extra.name}(${feature})`), content];
  return [...parts, beside && innerXml(beside)].filter((part) => part !== undefined).join(' ');
}

/** A notification in a line. */
function summary(given: Element): string {
  // (what comes from a store is text)
  const message = parseElement(given.toXml());
  const event = message.getChild('event', NS.pubsubEvent);
  const headers = message.getChild('headers', NS.shim)?.getChildren('header') ?? [];
  const subids = headers.map((header) => header.getText());
  const after = [
    ...(message.getChild('delay', NS.delay) === undefined ? [] : ['late']),
    ...(subids.length === 0 ? [] : [`under ${subids.join(',')}`]),
  ];
  const inside = event ?? message;
  return [
    inside
      .elements()
      .map((child) => (event === undefined ? child.toXml() : brief(child)))
      .join(' '),
    ...after,
  ].join(' ');
}

/** The name of an element and its attributes but for the node, and of those inside. */
function brief(element: Element): string {
  const attrs = Object.entries(element.attrs).flatMap(([name, value]) => (name === 'node' ? [] : [`${name}=${value}`]));
  const inside = element.name === 'x' ? [] : element.elements();
  const own = [element.name, ...attrs].join(' ');
  return inside.length === 0 ? own : `${own} [${inside.map(brief).join(' ')}]`;
}
