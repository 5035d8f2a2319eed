// The nodes of a service that this node of the cluster owns: one of a host of nodes, or all of an account. Read from the stores when they are
// asked for first, and written through.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import type { Item } from '../../storage/ports.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { NodeConfig } from './config.ts';
import { begin } from './create.ts';
import { noNode } from './errors.ts';
import { nodeDefaults } from './hooks.ts';
import { type Companion, Node } from './node.ts';
import type { ServicePorts, ShelfPorts } from './ports.ts';
import type { NodeRow } from './rows.ts';

/** Where nodes are: a host of nodes, or an account. */
export class Service<P extends ServicePorts = ServicePorts> {
  /** Whom requests are to, and notifications from: a domain, or a bare JID. */
  readonly jid: Jid;
  readonly ports: P;

  constructor(jid: Jid, ports: P) {
    this.jid = jid;
    this.ports = ports;
  }

  /**
   * What a node of that name is, unless somebody decides otherwise.
   * @param type what it is made as; stored is how it differs from what it would be without
   */
  defaults(name: string, type?: string): NodeConfig {
    return this.declared(name, type).config;
  }

  /** Whether nodes of that name come with others. */
  companionOf(name: string): Companion | undefined {
    return this.declared(name, undefined).companion;
  }

  protected declared(
    name: string,
    type: string | undefined,
  ): { readonly config: NodeConfig; readonly companion?: Companion } {
    const event = { service: this.jid, name, type, config: this.ports.policy.defaults(name) };
    void this.ports.hooks.collect(nodeDefaults, event);
    return event;
  }
}

/** The last items of nodes that keep none, by their names: JSON, for the next owner. */
export type Remembered = Readonly<Record<string, Item>>;

/** Nodes in memory, beyond which those that come with others are forgotten while nothing happens there: there may be one for each item. */
const MOST_LOADED = 2000;

export class Shelf extends Service<ShelfPorts> {
  private readonly nodes = new Map<string, Node | Promise<Node | undefined>>();
  /** Where nodes that were here have gone, by name. */
  private readonly moved = new Map<string, string>();
  private readonly turns = new Turns<string>();
  private readonly telling = new Turns<string>();
  private readonly told = new Set<Promise<unknown>>();
  private readonly handed: Remembered;
  /** Nodes in memory when it is next looked for those that may be forgotten. */
  private most = MOST_LOADED;

  constructor(jid: Jid, ports: ShelfPorts, handed: Remembered = {}) {
    super(jid, ports);
    this.handed = handed;
  }

  /** A node, where there is one. */
  find(name: string): MaybePromise<Node | undefined> {
    const known = this.nodes.get(name);
    // what comes with another one is there no longer than that
    if (known !== undefined) return known instanceof Node && known.head?.isOver === true ? undefined : known;
    const reading = this.read(name);
    this.nodes.set(name, reading);
    return reading;
  }

  /** A node that comes with that one, also when that is over. */
  async companion(head: Node, name: string): Promise<Node | undefined> {
    const known = await this.nodes.get(name);
    // (the other one may have been forgotten and read again)
    if (known !== undefined)
      return known.head?.name === head.name && known.createdAt >= head.createdAt ? known : undefined;
    const row = await this.ports.rows.node(name);
    return row === undefined || row.at < head.createdAt ? undefined : this.made(name, row, head);
  }

  /** @throws StanzaError `item-not-found`, or `gone` where the node has moved (XEP-0060 6.1.3.11) */
  get(name: string): MaybePromise<Node> {
    return andThen(this.find(name), (node) => {
      if (node !== undefined) return node;
      const uri = this.moved.get(name);
      throw uri === undefined ? noNode() : new StanzaError('gone', undefined, { content: uri });
    });
  }

  /** What changes a node happens one after another. */
  run<T>(name: string, work: () => MaybePromise<T>): MaybePromise<T> {
    return this.turns.run(name, work);
  }

  /** What is told of a node is told in the order in which it was begun. Nobody waits for it. */
  inOrder(name: string, what: string, work: () => MaybePromise<void>): void {
    const done = this.telling.run(name, work);
    if (!isPromise(done)) return;
    const end = (): void => void this.told.delete(done);
    this.told.add(done);
    this.ports.background(done.finally(end), what);
  }

  /** Resolves when all is told that was to be. */
  async settled(): Promise<void> {
    while (this.told.size > 0) await Promise.allSettled(this.told);
  }

  /** What nodes remember that is in no store. */
  remembered(): Remembered {
    const last: Record<string, Item> = {};
    for (const node of this.nodes.values())
      if (node instanceof Node && node.last !== undefined) last[node.name] = node.last;
    return last;
  }

  /** There is a new node, whose rows are written. */
  add(node: Node): void {
    this.keep(node.name, node);
    this.moved.delete(node.name);
  }

  /** A node is no more, nor are its rows. */
  remove(node: Node, movedTo: string | undefined): void {
    node.isOver = true;
    if (this.nodes.get(node.name) === node) this.nodes.delete(node.name);
    if (movedTo !== undefined) this.moved.set(node.name, movedTo);
  }

  /** Nodes in memory. */
  get size(): number {
    return this.nodes.size;
  }

  /** Nothing is under way. */
  get isQuiet(): boolean {
    return this.turns.isIdle && this.telling.isIdle;
  }

  private keep(name: string, node: Node): void {
    this.nodes.set(name, node);
    if (node.head === undefined || this.nodes.size <= this.most) return;
    // those first that were read first
    for (const [other, loaded] of this.nodes) {
      if (this.nodes.size <= MOST_LOADED * 0.9) break;
      if (loaded instanceof Node && loaded !== node && this.isForgettable(other, loaded)) this.nodes.delete(other);
    }
    // where all of them are busy, it is not looked for with each
    this.most = Math.max(MOST_LOADED, this.nodes.size + MOST_LOADED * 0.1);
  }

  private isForgettable(name: string, { head, isManaged, pending }: Node): boolean {
    const isAtRest = pending === 0 && !this.turns.has(name) && !this.telling.has(name);
    return head !== undefined && !isManaged && isAtRest;
  }

  private async read(name: string): Promise<Node | undefined> {
    try {
      const row = await this.ports.rows.node(name);
      const isHere = row !== undefined && row.movedTo === undefined;
      const node = (isHere ? await this.remade(name, row) : undefined) ?? (await this.accompanying(name));
      if (row?.movedTo !== undefined) this.moved.set(name, row.movedTo);
      // a name that nobody uses costs nothing
      if (node === undefined) this.nodes.delete(name);
      else this.keep(name, node);
      return node;
    } catch (error) {
      this.nodes.delete(name);
      throw error;
    }
  }

  private async remade(name: string, row: NodeRow): Promise<Node | undefined> {
    const companion = this.companionOf(name);
    if (companion === undefined || companion.made === 'alone') return this.made(name, row);
    const head = companion.head === undefined ? undefined : await this.find(companion.head);
    // (what was left of an earlier one is not of this one)
    return head === undefined || row.at < head.createdAt ? undefined : this.made(name, row, head);
  }

  /** A node that is there because another one is, asked for the first time. */
  private async accompanying(name: string): Promise<Node | undefined> {
    const companion = this.companionOf(name);
    if (companion?.made !== 'always' || companion.head === undefined) return undefined;
    const head = await this.find(companion.head);
    return head && begin(this, head, name, true);
  }

  private async made(name: string, { config, creator, at }: NodeRow, head?: Node): Promise<Node> {
    const entities = await this.ports.rows.entities(name);
    const declared = this.declared(name, undefined);
    const node = new Node({
      name,
      config: { ...declared.config, ...config },
      creator,
      createdAt: at,
      entities,
      head,
      isManaged: declared.companion?.isManaged ?? false,
    });
    if (!node.config.isPersistent && Object.hasOwn(this.handed, name)) node.last = this.handed[name];
    return node;
  }
}
