// The things of one kind that this node owns.
import type { MaybePromise } from '../../base/maybe.ts';
import type { NodeId } from '../../cluster/cluster.ts';
import type { OwnersContext } from './context.ts';
import type { AnyKind } from './kind.ts';
import { elsewhere, type Reply } from './reply.ts';
import { type Request, Thing } from './thing.ts';

/** Where a request stands among those that its node has sent one after another. */
export interface Place {
  readonly from: NodeId;
  readonly epoch: number;
  readonly number: number;
}

export class Keeper {
  /** The name that all nodes know it by: domain, module and kind. */
  readonly name: string;
  /** Its name in metrics. */
  readonly label: string;
  readonly things = new Map<string, Thing>();
  private readonly context: OwnersContext;
  /** As a module that is installed anew declares it; the last one counts. */
  private definitions: readonly AnyKind[] = [];

  constructor(name: string, label: string, context: OwnersContext) {
    this.name = name;
    this.label = label;
    this.context = context;
  }

  /** Undefined where no module declares it any more. */
  get kind(): AnyKind | undefined {
    return this.definitions.at(-1);
  }

  /** Things that live here already are made anew. */
  declare(kind: AnyKind): Promise<void> {
    return this.define([...this.definitions, kind]);
  }

  withdraw(kind: AnyKind): Promise<void> {
    return this.define(this.definitions.filter((one) => one !== kind));
  }

  /** Its name among things of all kinds. */
  fullOf(key: string): string {
    return `${this.name} ${key}`;
  }

  /** A request of this node or of another one. */
  take(key: string, request: Request, { from, epoch, number }: Place): MaybePromise<Reply> {
    const thing = this.things.get(key);
    if (thing !== undefined) return thing.admits(from, epoch, number) ? thing.take(request) : elsewhere;
    const { kind, context } = this;
    if (kind === undefined || context.isClosed || number !== 1) return elsewhere;
    if (context.isDraining) {
      const owner = context.cluster.owner(this.fullOf(key));
      if (owner !== context.cluster.self) return { is: 'elsewhere', node: owner };
    }
    const made = this.make(key, kind);
    made.admits(from, epoch, number);
    const reply = made.take(request);
    void made.wake();
    return reply;
  }

  /** Brings a thing to life though nobody has asked for it. */
  async wake(key: string): Promise<void> {
    const { kind, context } = this;
    if (kind !== undefined && !context.isClosed && !this.things.has(key)) await this.make(key, kind).wake();
  }

  /** A thing comes from another node; resolves to whether it lives here now. */
  async receive(key: string, from: NodeId, token: number, handed: unknown): Promise<boolean> {
    const { kind, context } = this;
    if (kind === undefined || context.isClosed || context.isDraining || this.things.has(key)) return false;
    return this.make(key, kind).receive(from, token, handed);
  }

  private make(key: string, kind: AnyKind): Thing {
    const { context, label } = this;
    const onEnd = (thing: Thing): void => {
      if (this.things.get(key) === thing) this.things.delete(key);
    };
    const thing = new Thing({ context, full: this.fullOf(key), label, key, kind, onEnd });
    this.things.set(key, thing);
    return thing;
  }

  private async define(definitions: readonly AnyKind[]): Promise<void> {
    const before = this.kind;
    this.definitions = definitions;
    const { kind } = this;
    if (kind === before) return;
    await Promise.all(
      [...this.things.values()].map((thing) => (kind === undefined ? thing.letGo() : thing.refit(kind))),
    );
  }
}
