// Several nodes in one process: a bus that is ordered and asynchronous, and a directory that all share. What travels is written
// as JSON and read again, so that a test fails where something would not survive the wire.
import { createHash } from 'node:crypto';
import type { MaybePromise } from '../../src/base/maybe.ts';
import {
  CallTimeout,
  type Cluster,
  type Directory,
  type Frame,
  type Leases,
  type Member as MemberInfo,
  type NodeId,
  type SessionEntry,
  Unanswered,
} from '../../src/cluster/cluster.ts';
import { type BareJid, Jid } from '../../src/xmpp/jid.ts';
import { SharedLeases } from './shared-leases.ts';

interface Parcel {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly json: string;
}
type Content =
  | { readonly kind: 'frame'; readonly frame: Frame }
  | { readonly kind: 'topic'; readonly topic: string; readonly body?: unknown }
  | { readonly kind: 'call'; readonly id: number; readonly method: string; readonly body?: unknown }
  | {
      readonly kind: 'reply';
      readonly id: number;
      readonly body?: unknown;
      readonly error?: string;
      readonly isUnanswered?: boolean;
    };

type StoredEntry = Omit<SessionEntry, 'jid'> & { readonly jid: string };

export interface Nodes {
  readonly clusters: readonly Cluster[];
  /** Resolves when nothing is under way between the nodes. */
  idle(): Promise<void>;
  /** A node dies: its link is cut, its sessions vanish from the directory, the others are told. */
  kill(node: NodeId): void;
  /** While true, nothing arrives; what was sent waits. */
  hold(on: boolean): void;
  /** While true, the node cannot tell whether the others hold it for dead. */
  doubt(node: NodeId, on: boolean): void;
  /** While true, nothing arrives at a node; what was sent to it waits. */
  freeze(node: NodeId, on: boolean): void;
  /** One more node. */
  add(name: string): Cluster;
}

/**
 * @param timeout how long a call waits for its answer, in milliseconds
 * @param isLate whether nodes remember what the directory said until the others' word of a change arrives
 */
export function createNodes(names: readonly string[] = ['one', 'two'], timeout = 2_000, isLate = false): Nodes {
  const bus = new Bus();
  const shared = new SharedDirectory();
  const members = new Map<NodeId, Member>();
  const leases = new SharedLeases();
  const add = (name: string): Member => {
    const self = name as NodeId;
    const own = leases.of(self, () => members.get(self) === node);
    const node: Member = new Member(self, bus, shared, members, timeout, isLate, own);
    members.set(node.self, node);
    node.onClose = () => kill(node.self);
    return node;
  };
  const kill = (node: NodeId): void => {
    members.delete(node);
    leases.settle();
    const orphans = shared.sweep(node);
    for (const member of members.values()) member.noticeLoss(node);
    const [heir] = members.values();
    if (orphans.length > 0) heir?.inherit(orphans);
  };
  for (const name of names) add(name);
  bus.deliver = ({ from, to, json }) => members.get(to)?.arrive(from, JSON.parse(json) as Content);
  return {
    get clusters() {
      return [...members.values()];
    },
    idle: () => bus.idle(),
    kill,
    hold: (on) => bus.hold(on),
    doubt: (node, on) => leases.doubt(node, on),
    freeze: (node, on) => bus.freeze(node, on),
    add,
  };
}

/** One queue for everything: order holds for each pair of nodes, and one parcel is handed over in each round of the event loop. */
class Bus {
  deliver: (parcel: Parcel) => void = () => {};
  private readonly queue: Parcel[] = [];
  private isRunning = false;
  private isHeld = false;
  private readonly frozen = new Map<NodeId, Parcel[]>();
  private idlers: (() => void)[] = [];

  send(parcel: Parcel): void {
    this.queue.push(parcel);
    this.run();
  }

  hold(on: boolean): void {
    this.isHeld = on;
    this.run();
  }

  freeze(node: NodeId, on: boolean): void {
    if (on) {
      this.frozen.set(node, []);
      return;
    }
    this.queue.unshift(...(this.frozen.get(node) ?? []));
    this.frozen.delete(node);
    this.run();
  }

  idle(): Promise<void> {
    if (!this.isRunning) return Promise.resolve();
    return new Promise((resolve) => this.idlers.push(resolve));
  }

  private run(): void {
    if (this.isRunning || this.isHeld || this.queue.length === 0) return;
    this.isRunning = true;
    setImmediate(() => this.step());
  }

  private step(): void {
    const parcel = this.isHeld ? undefined : this.queue.shift();
    if (parcel !== undefined) {
      const late = this.frozen.get(parcel.to);
      if (late === undefined) this.deliver(parcel);
      else late.push(parcel);
      setImmediate(() => this.step());
      return;
    }
    this.isRunning = false;
    for (const idler of this.idlers.splice(0)) idler();
  }
}

/** Answers as a directory elsewhere would: never at once, and with copies. */
class SharedDirectory implements Directory {
  private readonly entries = new Map<string, StoredEntry>();

  async sessions(user: string): Promise<readonly SessionEntry[]> {
    await undefined;
    return [...this.entries.values()].map(restore).filter((entry) => entry.jid.bare === user);
  }

  async put(entry: SessionEntry): Promise<SessionEntry | undefined> {
    const { jid, node, sid, available, priority, shared } = entry;
    await undefined;
    const old = this.entries.get(jid.full);
    const stored: StoredEntry = { jid: jid.full, node, sid, available, priority, shared };
    this.entries.set(jid.full, JSON.parse(JSON.stringify(stored)) as StoredEntry);
    return old === undefined || old.sid === sid ? undefined : restore(old);
  }

  release(): void {}

  async drop(jid: Jid, sid: string): Promise<void> {
    await undefined;
    if (this.entries.get(jid.full)?.sid === sid) this.entries.delete(jid.full);
  }

  sweep(node: NodeId): readonly SessionEntry[] {
    const swept = [...this.entries.values()].filter((entry) => entry.node === node);
    for (const { jid } of swept) this.entries.delete(jid);
    return swept.map(restore);
  }
}

/** Out of reach for a node that is dead. */
class LinkedDirectory implements Directory {
  private readonly shared: Directory;
  private readonly isAlive: () => boolean;

  constructor(shared: Directory, isAlive: () => boolean) {
    this.shared = shared;
    this.isAlive = isAlive;
  }

  async sessions(user: BareJid): Promise<readonly SessionEntry[]> {
    return this.reach().sessions(user);
  }

  async put(entry: SessionEntry): Promise<SessionEntry | undefined> {
    return this.reach().put(entry);
  }

  release(): void {}

  async drop(jid: Jid, sid: string): Promise<void> {
    return this.reach().drop(jid, sid);
  }

  private reach(): Directory {
    if (!this.isAlive()) throw new Error('this node is dead');
    return this.shared;
  }
}

/** Remembers what it was told, until it hears of a change. */
class LateDirectory implements Directory {
  private readonly known = new Map<string, readonly SessionEntry[]>();
  private changes = 0;
  private readonly shared: Directory;
  private readonly tell: (user: string) => void;

  constructor(shared: Directory, tell: (user: string) => void) {
    this.shared = shared;
    this.tell = tell;
  }

  sessions(user: BareJid, isFresh = false): MaybePromise<readonly SessionEntry[]> {
    return (isFresh ? undefined : this.known.get(user)) ?? this.ask(user);
  }

  async put(entry: SessionEntry): Promise<SessionEntry | undefined> {
    const old = await this.shared.put(entry);
    this.changed(entry.jid.bare);
    return old;
  }

  release(): void {}

  async drop(jid: Jid, sid: string): Promise<void> {
    await this.shared.drop(jid, sid);
    this.changed(jid.bare);
  }

  forget(user: string): void {
    this.changes++;
    this.known.delete(user);
  }

  private async ask(user: BareJid): Promise<readonly SessionEntry[]> {
    const { changes } = this;
    const entries = await this.shared.sessions(user);
    if (changes === this.changes) this.known.set(user, entries);
    return entries;
  }

  private changed(user: string): void {
    this.forget(user);
    this.tell(user);
  }
}

function restore(entry: StoredEntry): SessionEntry {
  const jid = Jid.parse(entry.jid);
  if (jid === undefined) throw new Error(`${entry.jid} is not a JID`);
  return { ...entry, jid };
}

class Member implements Cluster {
  readonly self: NodeId;
  readonly directory: Directory;
  readonly leases: Leases;
  onClose: () => void = () => {};
  isDraining = false;
  private readonly bus: Bus;
  private readonly all: ReadonlyMap<NodeId, Member>;
  private readonly timeout: number;
  private receiver: (frame: Frame, from: NodeId) => MaybePromise<void> = () => {};
  private readonly answers = new Map<string, (body: unknown, from: NodeId) => MaybePromise<unknown>>();
  private readonly topics = new Map<string, Set<(body: unknown, from: NodeId) => void>>();
  private readonly heirs = new Set<(sessions: readonly SessionEntry[]) => MaybePromise<void>>();
  private readonly doubters = new Set<(isOurs: boolean) => void>();
  private readonly watchers = new Set<(node: NodeId, up: boolean) => void>();
  private readonly calls = new Map<number, { resolve(body: unknown): void; reject(error: Error): void }>();
  private lastCall = 0;

  constructor(
    self: NodeId,
    bus: Bus,
    shared: Directory,
    members: ReadonlyMap<NodeId, Member>,
    timeout: number,
    isLate: boolean,
    leases: Leases,
  ) {
    this.self = self;
    this.leases = leases;
    this.bus = bus;
    this.all = members;
    const link = new LinkedDirectory(shared, () => members.get(self) === this);
    if (isLate) {
      const late = new LateDirectory(link, (user) => this.publish('directory', user));
      this.subscribe('directory', (user) => late.forget(String(user)));
      this.directory = late;
    } else this.directory = link;
    this.timeout = timeout;
  }

  get nodes(): ReadonlySet<NodeId> {
    return new Set(this.all.keys());
  }

  send(node: NodeId, frame: Frame): void {
    this.post(node, { kind: 'frame', frame });
  }

  receive(fn: (frame: Frame, from: NodeId) => MaybePromise<void>): void {
    this.receiver = fn;
  }

  async call(node: NodeId, method: string, body: unknown): Promise<unknown> {
    const id = ++this.lastCall;
    const reply = new Promise<unknown>((resolve, reject) => this.calls.set(id, { resolve, reject }));
    const timer = setTimeout(
      () => this.calls.get(id)?.reject(new CallTimeout(`${node} did not answer ${method} in time`)),
      this.timeout,
    );
    this.post(node, { kind: 'call', id, method, body });
    try {
      return await reply;
    } finally {
      clearTimeout(timer);
      this.calls.delete(id);
    }
  }

  answer(method: string, fn: (body: unknown, from: NodeId) => MaybePromise<unknown>): () => void {
    this.answers.set(method, fn);
    return () => this.answers.delete(method);
  }

  publish(topic: string, body: unknown): void {
    for (const node of this.all.keys()) if (node !== this.self) this.post(node, { kind: 'topic', topic, body });
  }

  subscribe(topic: string, fn: (body: unknown, from: NodeId) => void): () => void {
    const subscribers = this.topics.get(topic) ?? new Set();
    this.topics.set(topic, subscribers.add(fn));
    return () => subscribers.delete(fn);
  }

  owner(key: string): NodeId {
    const weight = (node: NodeId): string => createHash('sha1').update(`${node}\0${key}`).digest('hex');
    const staying = [...this.all.values()].filter(({ isDraining }) => !isDraining).map((node) => node.self);
    const candidates = staying.length > 0 ? staying : [...this.all.keys()];
    return candidates.reduce((best, node) => (weight(node) > weight(best) ? node : best), candidates[0] ?? this.self);
  }

  onNode(fn: (node: NodeId, up: boolean) => void): () => void {
    this.watchers.add(fn);
    return () => this.watchers.delete(fn);
  }

  onExpelled(): () => void {
    return () => {};
  }

  onOrphans(fn: (sessions: readonly SessionEntry[]) => MaybePromise<void>): () => void {
    this.heirs.add(fn);
    return () => this.heirs.delete(fn);
  }

  onDisplaced(): () => void {
    return () => {};
  }

  onGap(fn: (isOurs: boolean) => void): () => void {
    this.doubters.add(fn);
    return () => this.doubters.delete(fn);
  }

  drain(isOn: boolean): void {
    this.isDraining = isOn;
  }

  members(): readonly MemberInfo[] {
    return [...this.all].map(([node, { isDraining }]) => ({
      node,
      name: node,
      version: '0',
      started: 0,
      sessions: 0,
      inbox: 0,
      lag: 0,
      isDraining,
    }));
  }

  async close(): Promise<void> {
    this.onClose();
  }

  inherit(orphans: readonly SessionEntry[]): void {
    for (const fn of this.heirs) void fn(orphans);
  }

  noticeLoss(node: NodeId): void {
    for (const watcher of this.watchers) watcher(node, false);
    for (const doubter of this.doubters) doubter(false);
  }

  arrive(from: NodeId, content: Content): void {
    switch (content.kind) {
      case 'frame':
        void this.receiver(content.frame, from);
        return;
      case 'topic':
        for (const fn of this.topics.get(content.topic) ?? []) fn(content.body, from);
        return;
      case 'call':
        this.reply(from, content.id, content.method, content.body);
        return;
      case 'reply': {
        const call = this.calls.get(content.id);
        if (content.error === undefined) call?.resolve(content.body);
        else call?.reject(content.isUnanswered ? new Unanswered(content.error) : new Error(content.error));
      }
    }
  }

  private reply(from: NodeId, id: number, method: string, body: unknown): void {
    const fn = this.answers.get(method);
    const work = async (): Promise<unknown> => {
      if (fn === undefined) throw new Unanswered(`nobody answers ${method}`);
      return fn(body, from);
    };
    work().then(
      (result) => this.post(from, { kind: 'reply', id, body: result }),
      (error: Error) => {
        const isUnanswered = error instanceof Unanswered;
        this.post(from, { kind: 'reply', id, error: error.message, isUnanswered });
      },
    );
  }

  private post(to: NodeId, content: Content): void {
    // a dead node speaks no more
    if (this.all.get(this.self) === this) this.bus.send({ from: this.self, to, json: JSON.stringify(content) });
  }
}
