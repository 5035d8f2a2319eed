// Questions from node to node: who waits for an answer, and who gives one.
import type { Clock } from '../../base/clock.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { CallTimeout, type NodeId, Unanswered } from '../cluster.ts';

type Answer = (body: unknown, from: NodeId) => MaybePromise<unknown>;

interface Call {
  readonly node: NodeId;
  readonly method: string;
  resolve(body: unknown): void;
  reject(err: Error): void;
  cancel(): void;
}

export class Calls {
  private readonly clock: Clock;
  private readonly timeout: number;
  private readonly answers = new Map<string, Answer>();
  private readonly waiting = new Map<number, Call>();
  private lastId = 0;

  /** @param timeout how long is waited for an answer, in milliseconds */
  constructor(clock: Clock, timeout: number) {
    this.clock = clock;
    this.timeout = timeout;
  }

  answer(method: string, fn: Answer): () => void {
    this.answers.set(method, fn);
    return () => {
      if (this.answers.get(method) === fn) this.answers.delete(method);
    };
  }

  /** What this node answers; throws where nobody does. */
  async ask(method: string, body: unknown, from: NodeId): Promise<unknown> {
    const fn = this.answers.get(method);
    if (fn === undefined) throw new Unanswered(unanswered(method));
    return fn(body, from);
  }

  /**
   * Waits for another node's answer.
   * @param send sends the question with its number; where that fails, the call does
   */
  async call(node: NodeId, method: string, send: (id: number) => Promise<void>): Promise<unknown> {
    const id = ++this.lastId;
    try {
      return await new Promise<unknown>((resolve, reject) => {
        const cancel = this.clock.after(this.timeout, () =>
          reject(new CallTimeout(`${node} did not answer ${method} in time`)),
        );
        this.waiting.set(id, { node, method, resolve, reject, cancel });
        send(id).catch(reject);
      });
    } finally {
      this.waiting.get(id)?.cancel();
      this.waiting.delete(id);
    }
  }

  replied(id: number, from: NodeId, body: unknown): void {
    const call = this.waiting.get(id);
    if (call?.node === from) call.resolve(body);
  }

  failed(id: number, from: NodeId, message: string): void {
    const call = this.waiting.get(id);
    if (call?.node !== from) return;
    call.reject(message === unanswered(call.method) ? new Unanswered(message) : new Error(message));
  }

  /** Nobody answers for a node that is gone; without one, for all. */
  lose(node?: NodeId): void {
    for (const call of this.waiting.values()) {
      if (node === undefined || call.node === node) call.reject(new Error(`${call.node} is gone`));
    }
  }
}

const unanswered = (method: string): string => `nobody answers ${method}`;
