// The cluster port: who is online where, and how nodes speak to one another. One process is a cluster of one (`solo.ts`).
import type { Gate } from '../base/gate.ts';
import type { MaybePromise } from '../base/maybe.ts';
import type { BareJid, Jid } from '../xmpp/jid.ts';
import type { Holders } from '../xmpp/stanza.ts';

/** One life of a node: a process that is started anew under the same name is another one. */
export type NodeId = string & { readonly __brand: 'node' };

/** A bound resource, as every node knows it. */
export interface SessionEntry {
  readonly jid: Jid;
  readonly node: NodeId;
  /** Tells two sessions of the same full JID apart. */
  readonly sid: string;
  readonly available: boolean;
  readonly priority: number;
  /** The session's shared slots. */
  readonly shared: Readonly<Record<string, string | number | boolean>>;
}

/**
 * What other nodes put and dropped may be seen late: what is sent to a session that has left comes back from its node, and who
 * was given a message is counted by the node that delivered it, not told from here. What this node put or dropped it must see
 * itself as soon as that has resolved, and of two that put the same full JID each must be told of the other, or the later one.
 */
export interface Directory {
  /**
   * The bound resources of an account, on all nodes.
   * @param isFresh whatever any node had put by now has to be in it, whatever is remembered here
   */
  sessions(user: BareJid, isFresh?: boolean): MaybePromise<readonly SessionEntry[]>;
  /** For some seconds after what was put may have been lost: nodes put it again, and until then somebody may be there who is not found. */
  readonly isInDoubt?: boolean;
  /**
   * Adds an entry, or replaces the one with the same full JID; returns the one replaced, if it was another session. A session that has
   * moved is put by its new node, with the `sid` that it had: from then on the entry is that node's, and stays when the other one dies.
   */
  put(entry: SessionEntry): MaybePromise<SessionEntry | undefined>;
  /** A session of this node has moved: its entry is the other node's, and not answered for from here. To be put here anew it may come back. */
  release(jid: Jid, sid: string): void;
  /** Removes an entry, unless another session has taken its place. */
  drop(jid: Jid, sid: string): MaybePromise<void>;
}

/** A stanza, whose checks are done, for sessions. */
export type SessionFrame =
  /** For sessions of the receiving node. */
  | ({ readonly kind: 'deliver' } & ToSessions)
  /** Answers `deliver`: these sessions are not there any more. */
  | ({ readonly kind: 'undelivered' } & ToSessions);

interface ToSessions {
  readonly to: readonly Addressee[];
  readonly xml: string;
  /** All that are given the message. */
  readonly had?: Holders;
  /**
   * The stanza has no `to`: each has it with its own address. Whoever is not there is answered for by an error. The number is the token of
   * the lease by which its speaker speaks: after what was said under a later one nobody hears it. 0: it needs none.
   */
  readonly each?: number;
}

/** What travels between nodes. */
export type Frame =
  | SessionFrame
  /** For what the receiving node looks after itself: a component that is connected to it, or a question that it has asked. */
  | { readonly kind: 'stanza'; readonly xml: string };

/** A session that a frame is for: its full JID may be another session's meanwhile. */
export interface Addressee {
  readonly jid: string;
  readonly sid: string;
}

/** A node as the others see it. */
export interface Member {
  readonly node: NodeId;
  /** The same for every life of the node. */
  readonly name: string;
  /** Version of the software. */
  readonly version: string;
  /** When this life began, in milliseconds since 1970. */
  readonly started: number;
  readonly sessions: number;
  /** What waits in its inbox to be handled. */
  readonly inbox: number;
  /** How long what it handled last had waited in the inbox, in milliseconds. */
  readonly lag: number;
  /** It is about to stop: nothing new is given to it. */
  readonly isDraining: boolean;
  /** Tells settings that all nodes should have in common from others. */
  readonly settings?: string;
}

/** A call was not answered in time: the other node may have done what it was asked for, or do it yet. */
export class CallTimeout extends Error {
  override readonly name = 'CallTimeout';
}

/** What this node owns, for as long as it is known that its life goes on. */
export interface Lease {
  readonly key: string;
  /** Grows from one owner of the key to the next. */
  readonly token: number;
  /** Its owner before died, or gave it up unfinished, and has handed nothing over. */
  readonly isAfterDeath: boolean;
  /**
   * Whether nobody else can have taken it yet. It may turn from one turn of the event loop to the next: whoever writes or answers
   * as the owner asks in the turn in which that is done.
   */
  readonly isValid: boolean;
  /** Resolves when that is known: true when it is valid (again), false when it is over for good. */
  confirm(): Promise<boolean>;
  /**
   * Gives it up.
   * @param isUnfinished what is kept of it for after a death has not been taken up, or is all that there is: for its next owner it is as
   * if this one had died
   */
  release(isUnfinished?: boolean): MaybePromise<void>;
}

/** Single owners: of all lives of all nodes one has a key at a time, and the next has a higher token. */
export interface Leases {
  /**
   * Claims a key that nobody has, or whose owner has died; then nothing that the dead one had under way can be written any more, as
   * far as whoever listens to `onFence` saw to it. A key that is this node's already has a new token then, and the old lease is over.
   * @returns the lease, or who has the key. Rejects when it cannot be told who has it.
   */
  claim(key: string): MaybePromise<Lease | { readonly holder: NodeId }>;
  /** Takes a key over from a node that lives and hands it over; undefined when it does not have it under that token any more. */
  take(key: string, from: NodeId, token: number): MaybePromise<Lease | undefined>;
  /** Keys whose owners have died. */
  orphans(): MaybePromise<readonly string[]>;
  /** How a life that is over is kept from writing. Called before what it owned is given to another. */
  onFence(fn: (life: NodeId) => MaybePromise<void>): () => void;
}

/** A call was for something that the other node does not answer: nothing was done. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

export interface Cluster {
  readonly self: NodeId;
  /** The nodes that are alive, this one among them. */
  readonly nodes: ReadonlySet<NodeId>;
  readonly directory: Directory;
  readonly leases: Leases;
  /**
   * Closed while this node, which stood still for a while, does not know whether the others have gone on without it, and from when
   * it knows they have until `onExpelled` was told. Undefined where there are no others.
   */
  readonly gate?: Gate;
  /**
   * Whether the others cannot have gone on without this node yet: all that it has said up to now came in time. Undefined where there are
   * no others.
   */
  readonly isSure?: boolean;
  /**
   * In order between two nodes, at most once.
   * @returns when the frame will be dealt with even if this node dies: by the receiver or, if that dies, by another node;
   *   undefined where there is nothing to wait for. Rejects when it is known that nobody will.
   */
  send(node: NodeId, frame: Frame): MaybePromise<void>;
  /** Whom to give the frames that arrive; one receiver. A frame counts as dealt with when what it returns has resolved. */
  receive(fn: (frame: Frame, from: NodeId) => MaybePromise<void>): void;
  /**
   * Asks another node, in order between two nodes. Rejects with `CallTimeout` when it does not answer in time, with `Unanswered` where
   * nobody there does.
   */
  call(node: NodeId, method: string, body: unknown): Promise<unknown>;
  /** Answers calls of that name; returns how to stop. */
  answer(method: string, fn: (body: unknown, from: NodeId) => MaybePromise<unknown>): () => void;
  /** Tells every other node; not this one. */
  publish(topic: string, body: unknown): void;
  subscribe(topic: string, fn: (body: unknown, from: NodeId) => void): () => void;
  /** The node that owns a key while the membership is as it is. */
  owner(key: string): NodeId;
  onNode(fn: (node: NodeId, up: boolean) => void): () => void;
  /**
   * The others have held this node for dead, and it has begun a new life: `self` is another. Its sessions are out of the directory,
   * whoever saw them was told that they are gone, and what they had not been given yet is dealt with elsewhere.
   */
  onExpelled(fn: () => void): () => void;
  /**
   * Sessions that a dead node has left, when they are out of the directory: one of the nodes that live (and receive frames) is told,
   * and another one if that dies before `fn` has resolved.
   */
  onOrphans(fn: (sessions: readonly SessionEntry[]) => MaybePromise<void>): () => void;
  /** A session of this node has lost its full JID to one of another node, which has not said so (as when that died over it). */
  onDisplaced(fn: (session: SessionEntry) => void): () => void;
  /**
   * Word that nodes published may not have arrived, as when one died over it: what was remembered by such word is in doubt.
   * `isOurs`: it may be word of this node that others have missed, and what it shared with them for a time may be forgotten.
   */
  onGap(fn: (isOurs: boolean) => void): () => void;
  /** Tells the others that this node is about to stop, or is not: nothing new is given to it then. */
  drain(isOn: boolean): MaybePromise<void>;
  /** All nodes that are alive, this one among them. */
  members(): MaybePromise<readonly Member[]>;
  close(): Promise<void>;
}
