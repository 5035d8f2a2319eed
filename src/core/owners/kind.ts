// Kinds of things that have one owner in the whole cluster, as modules declare them: rooms, and whatever else must not be in two places.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';

/** `T`: a thing as it lives on its owner. `Q` and `A`: what it is asked and what it answers; JSON, for they may travel. */
export interface Kind<T, Q, A> {
  /**
   * Brings a thing to life, at its first use or on another node than before.
   * @param handed what `freeze` has returned on the node before, as JSON brings it; undefined where nothing was handed over, as at first
   *   use, after some idle time, and after a crash (`lease.isAfterDeath`): then it is made from the stores
   */
  thaw(key: string, lease: Lease, handed: unknown): MaybePromise<T>;
  /**
   * Does what is asked; throws to refuse, best a StanzaError. Requests come one after another, those of one node in the order in which
   * it asked; a promise does not keep the next one waiting. Nothing is written or told after something was waited for without
   * another look at `lease.isValid`, in the same turn; what is returned is told only if it is still the owner.
   * @param id the same when a request is made again, where the kind repeats
   */
  handle(thing: T, body: Q, id: string | undefined): MaybePromise<A>;
  /**
   * The thing goes to another node, or has been idle. Nothing is asked of it any more, and nothing is under way. Resolves when all
   * that must not be lost is in the stores; returns what the next owner would like to have besides, JSON.
   */
  freeze(thing: T): MaybePromise<unknown>;
  /** Somebody else owns it: it is not to write, nor to tell anybody anything. */
  drop?(thing: T): void;
  /** It is let go when it was not asked anything for so long, in milliseconds, and `isIdle` agrees; never, unless said. */
  readonly idleAfter?: number;
  isIdle?(thing: T): boolean;
  /** After a crash, things are brought to life when somebody asks for them, or at once. */
  readonly rebuild?: 'asked' | 'eager';
  /**
   * Where the owner died over a request, so that nobody knows whether it was done, the next one is asked: the thing must know by its
   * `id` what it has done already, from what it has stored. Otherwise such requests fail.
   */
  readonly repeats?: boolean;
}

/** Things of a kind, wherever they live. */
export interface Owned<Q, A> {
  /**
   * Asks a thing. At once and without a copy where it lives here and is awake; else on its owner, which claims it if nobody has it.
   * @throws whatever `handle` throws; StanzaError of type `wait` where it cannot be done now, or nobody knows whether it was done
   */
  call(key: string, body: Q): MaybePromise<A>;
  /** As `call`, when the answer is of no interest. */
  send(key: string, body: Q): MaybePromise<void>;
  /** Whether it lives on this node, and may act. */
  isHere(key: string): boolean;
}

/** A kind whose types no longer matter. */
// biome-ignore lint/suspicious/noExplicitAny: all kinds are treated alike, whatever they are made of
export type AnyKind = Kind<any, any, any>;
