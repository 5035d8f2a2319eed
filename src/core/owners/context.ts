// What all parts of the single-owner mechanism have in common on a node.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Cluster, NodeId } from '../../cluster/cluster.ts';

export interface OwnerLimits {
  /** Requests that may wait for one thing, on the node that asks and on the one that owns. */
  readonly perKey: number;
  /** The same for all things of a node. */
  readonly perNode: number;
  /** How long a request waits for a thing that is not awake, in milliseconds: shorter than a node waits for another one's answer. */
  readonly wait: number;
  /** How long somebody who asks is sent from node to node, in milliseconds. */
  readonly patience: number;
  /** How long a thing that is to move is given to end what it does, in milliseconds. */
  readonly quiet: number;
  /** What travels with one call, and in all for one thing, in UTF-16 units. */
  readonly part: number;
  readonly handed: number;
  /** Between two things that move because they are others' by the ring, in milliseconds; and for how long nodes must not have changed. */
  readonly pace: number;
  readonly settled: number;
}

export const defaultLimits: OwnerLimits = {
  perKey: 1000,
  perNode: 20_000,
  wait: 8_000,
  patience: 15_000,
  quiet: 10_000,
  part: 128 * 1024,
  handed: 64 * 1024 * 1024,
  pace: 1_000,
  settled: 30_000,
};

export type Event = 'thawed' | 'rebuilt' | 'moved' | 'lost' | 'turnedAway';

export interface Carrier {
  /** Takes a frozen thing to another node. `unknown`: it may be there, or get there still. */
  carry(to: NodeId, thing: Travelling): Promise<'taken' | 'refused' | 'unknown'>;
}
export interface Travelling {
  readonly kind: string;
  readonly key: string;
  readonly token: number;
  readonly handed: unknown;
}

export interface OwnersContext {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: OwnerLimits;
  readonly carrier: Carrier;
  /** Requests that wait here for things of this node, and those of this node that wait for their answers. */
  queued: number;
  asked: number;
  /** What is being claimed, by name; each resolves when that is settled. */
  readonly claims: Map<string, Promise<void>>;
  /** Nodes that are about to be no more, and own nothing: they are not asked again. */
  readonly leaving: Set<NodeId>;
  /** Nothing new is to be owned here, as long as there are other nodes. */
  isDraining: boolean;
  /** Nothing is owned here any more. */
  isClosed: boolean;
  /** A kind by its name in metrics. */
  count(kind: string, event: Event): void;
}
