// The bus of one life of a node: an outbox for each other node, and this node's inbox.
import type { Logger } from '../../base/log.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { RedisConnection } from '../../net/redis.ts';
import type { Frame, NodeId } from '../cluster.ts';
import type { Calls } from './calls.ts';
import { takeOver } from './estate.ts';
import { type Content, readItems, writeCall, writeFailure, writeFrame, writeReply, writeTopic } from './frames.ts';
import { Inbox } from './inbox.ts';
import type { Membership } from './membership.ts';
import { Outbox, type OutboxLimit } from './outbox.ts';

export interface BusOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  readonly membership: Membership;
  readonly calls: Calls;
  /** For each other node. */
  readonly limit: OutboxLimit;
  readonly onFrame: (frame: Frame, from: NodeId) => MaybePromise<void>;
  readonly onTopic: (topic: string, body: unknown, from: NodeId) => void;
  /** Another node, which was not told everything, can be told again. */
  readonly onMissed: () => void;
}

export class Bus {
  private readonly options: BusOptions;
  private readonly membership: Membership;
  private readonly self: NodeId;
  private readonly inbox: Inbox;
  private readonly outboxes = new Map<NodeId, Outbox>();
  private readonly stop: () => void;
  /** Nodes that were not told everything. */
  private readonly missing = new Set<NodeId>();
  private isClosed = false;
  private isRetired = false;
  /** What was to be said in the life before is not said yet. */
  private isHeld = false;

  /** @param options with a membership that has begun */
  constructor(options: BusOptions) {
    const { redis, log, membership } = options;
    this.options = options;
    this.membership = membership;
    this.self = membership.self;
    this.inbox = new Inbox({
      redis,
      log,
      self: this.self,
      handle: (content, from) => this.handle(content, from),
      isSure: () => membership.isSure,
      sure: () => membership.sure(),
      onGone: () => void this.reopen(),
      redisNow: () => membership.redisNow(),
    });
    this.stop = redis.onReconnected(() => this.wake());
  }

  /** How long what was read last had waited, in milliseconds. */
  get lag(): number {
    return this.inbox.lag;
  }

  /** What other nodes have not handled, in UTF-16 units. */
  get backlog(): number {
    return [...this.outboxes.values()].reduce((sum, { backlog }) => sum + backlog, 0);
  }

  /** Others can send from now on; resolves to false where this life is over. */
  async open(): Promise<boolean> {
    if (!(await this.inbox.open())) return false;
    this.inbox.start();
    return true;
  }

  /** The inbox was lost with the memory of Redis. */
  async reopen(): Promise<void> {
    try {
      await this.membership.refresh();
      if (!this.isClosed && !this.membership.isOver) await this.inbox.open();
    } catch {
      // Redis is away; it is asked again when it is back
    }
  }

  send(node: NodeId, frame: Frame): Promise<void> {
    return this.outbox(node).push(writeFrame(frame));
  }

  call(node: NodeId, method: string, body: unknown): Promise<unknown> {
    // nobody answers a life that is over
    if (this.isRetired) return Promise.reject(new Error(`${node} is not asked before the next life has begun`));
    return this.options.calls.call(node, method, (id) => this.outbox(node).push(writeCall(id, method, body), true));
  }

  publish(topic: string, body: unknown): void {
    const item = writeTopic(topic, body);
    for (const node of this.membership.nodes) if (node !== this.self) this.tell(node, item);
  }

  /** Looks after what was sent; called with every beat. */
  tend(): void {
    void this.inbox.tell();
    for (const outbox of this.outboxes.values()) void outbox.audit();
  }

  /** Another node is gone. */
  lose(node: NodeId): void {
    this.missing.delete(node);
    this.options.calls.lose(node);
    this.outboxes.get(node)?.lose();
  }

  /** Treats what a dead node had not handled as undelivered. */
  takeOver(node: NodeId, sure: () => Promise<boolean>): Promise<void> {
    const { redis, log } = this.options;
    return takeOver({
      redis,
      log,
      node,
      sure,
      isThere: (sender) => this.membership.nodes.has(sender),
      onFrame: (frame, from) => this.undeliver(frame, from, node),
    });
  }

  /** Sends what waits, for so many milliseconds at the most; then reads no more. */
  async close(patience: number): Promise<void> {
    const late = new Promise((resolve) => setTimeout(resolve, patience).unref());
    await this.sayAll(late);
    await Promise.race([this.inbox.close(), late]);
  }

  private async sayAll(late: Promise<unknown>): Promise<void> {
    await Promise.race([Promise.all([...this.outboxes.values()].map((outbox) => outbox.flushed())), late]);
    this.end();
  }

  /** This life is over, and its inbox is others': nothing is read any more, and what this node has to say goes out still. */
  retire(): void {
    this.isRetired = true;
    this.options.calls.lose();
    void this.inbox.close();
  }

  /** The next life has begun: what waits for nodes that live is sent, for so many milliseconds at the most, and the rest given up. */
  async finish(nodes: ReadonlySet<NodeId>, patience: number): Promise<void> {
    for (const [node, outbox] of this.outboxes) if (!nodes.has(node)) outbox.close();
    await this.sayAll(new Promise((resolve) => setTimeout(resolve, patience).unref()));
  }

  /** Nothing is sent before what the life before had to say: the others shall hear of both in their order. */
  follow(before: Promise<void>): void {
    this.isHeld = true;
    void before.finally(() => {
      this.isHeld = false;
      for (const outbox of this.outboxes.values()) outbox.wake();
    });
  }

  /** Ends at once, as if the process had died. */
  abandon(): void {
    this.end();
    void this.inbox.close();
  }

  private end(): void {
    this.isClosed = true;
    this.stop();
    for (const outbox of this.outboxes.values()) outbox.close();
    // those who wait by now have asked in the next life
    if (!this.isRetired) this.options.calls.lose();
  }

  private wake(): void {
    void this.reopen();
    for (const outbox of this.outboxes.values()) outbox.wake();
  }

  private outbox(node: NodeId): Outbox {
    let outbox = this.outboxes.get(node);
    if (outbox === undefined) {
      const { redis, log, limit } = this.options;
      outbox = new Outbox({
        redis,
        log,
        limit,
        self: this.self,
        to: node,
        isThere: () => this.isThere(node),
        isOwed: () => this.membership.isOwed(node),
        isHeld: () => this.isHeld,
        onLost: (items) => this.recover(items, node),
        onDone: () => {
          if (this.outboxes.get(node) === outbox) this.outboxes.delete(node);
        },
      });
      if (this.isClosed) outbox.close();
      else this.outboxes.set(node, outbox);
    }
    return outbox;
  }

  private async isThere(node: NodeId): Promise<boolean> {
    await this.membership.refresh();
    return this.membership.nodes.has(node);
  }

  /** What was for a node that is dead, and lost with the memory of Redis. */
  private recover(items: string, node: NodeId): void {
    const { log } = this.options;
    const failed = (err: unknown): void => log.error({ err }, 'what a dead node never had could not be dealt with');
    const step = (content: Content): void => {
      if (content.kind !== 'frame') return;
      const work = this.undeliver(content.frame, this.self, node);
      if (isPromise(work)) work.catch(failed);
    };
    readItems(items, step, failed);
  }

  /** What is for the sessions of a dead node has missed them there. */
  private undeliver(frame: Frame, from: NodeId, dead: NodeId): MaybePromise<void> {
    const { onFrame } = this.options;
    return frame.kind === 'deliver' ? onFrame({ ...frame, kind: 'undelivered' }, dead) : onFrame(frame, from);
  }

  private handle(content: Content, from: NodeId): MaybePromise<void> {
    const { calls, onFrame, onTopic } = this.options;
    switch (content.kind) {
      case 'frame':
        return onFrame(content.frame, from);
      case 'topic':
        return onTopic(content.topic, content.body, from);
      case 'call':
        void this.answer(from, content.id, content.method, content.body);
        return;
      case 'reply':
        return calls.replied(content.id, from, content.body);
      case 'failure':
        return calls.failed(content.id, from, content.message);
    }
  }

  private async answer(from: NodeId, id: number, method: string, body: unknown): Promise<void> {
    let item: string;
    try {
      item = writeReply(id, await this.options.calls.ask(method, body, from));
    } catch (err) {
      item = writeFailure(id, err instanceof Error ? err.message : String(err));
    }
    this.tell(from, item);
  }

  /** Says something that nobody waits for here. */
  private tell(node: NodeId, item: string): void {
    this.outbox(node)
      .push(item, true)
      .then(
        () => {
          if (this.missing.delete(node)) this.options.onMissed();
        },
        (err: unknown) => {
          if (this.missing.has(node) || this.isClosed || !this.membership.nodes.has(node)) return;
          this.missing.add(node);
          this.options.log.warn({ err, node }, 'another node is not told everything');
        },
      );
  }
}
