// Where the readers of a stanza are: sessions of this node, or of others, which get one frame each.
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import type { Addressee, Cluster, NodeId, SessionEntry, SessionFrame } from '../cluster/cluster.ts';
import type { Session, Sessions } from './sessions.ts';

/** Where a session is: itself, where `self` has it, or its node; undefined where it is gone. */
export function placeOf(
  { jid, sid, node }: SessionEntry,
  sessions: Sessions,
  self: NodeId,
): Session | NodeId | undefined {
  if (node !== self) return node;
  const session = sessions.get(jid.full);
  // another session may have come under its name
  return session?.sid === sid ? session : sessions.moves.whither(sid);
}

/** What is sent of a stanza, besides whom it is for. */
type Sent = Omit<Extract<SessionFrame, { kind: 'deliver' }>, 'kind' | 'to'>;

/** What travels to another node in one batch. */
interface Load {
  readonly sent: Promise<void>;
  /** What to do for each stanza of it where nobody will have it. */
  readonly refusals: (() => void)[];
  /** Never rejects. */
  readonly done: Promise<void>;
}

/** What was given to other nodes lately: stanzas of one batch share a promise, and one look at what has become of it. */
export class Loads {
  private readonly byNode = new Map<NodeId, Load>();

  /**
   * @param sent of the batch that the stanza goes with
   * @returns when it is there, or seen to. Never rejects.
   */
  add(node: NodeId, sent: Promise<void>, refuse: () => void): Promise<void> {
    let load = this.byNode.get(node);
    if (load?.sent !== sent) {
      const made: Load = {
        sent,
        refusals: [],
        done: sent.then(
          () => this.forget(node, made),
          () => this.fail(node, made),
        ),
      };
      load = made;
      this.byNode.set(node, made);
    }
    load.refusals.push(refuse);
    return load.done;
  }

  private fail(node: NodeId, load: Load): void {
    this.forget(node, load);
    for (const refuse of load.refusals) refuse();
  }

  private forget(node: NodeId, load: Load): void {
    if (this.byNode.get(node) === load) this.byNode.delete(node);
  }
}

/** Readers on other nodes. */
export class Elsewhere {
  private readonly byNode = new Map<NodeId, Addressee[]>();

  add(node: NodeId, addressee: Addressee): void {
    const list = this.byNode.get(node);
    if (list === undefined) this.byNode.set(node, [addressee]);
    else list.push(addressee);
  }

  /**
   * Sends them what was said.
   * @param lost is called with those whom a node cannot be given it for; what it returns is waited for
   * @returns when the inboxes of their nodes have it; undefined where there is nothing to wait for. Rejects only as `lost` does.
   */
  send(
    cluster: Cluster,
    sent: Sent,
<<<<<<< HEAD
    lost: (list: readonly Addressee[]) => void,
    loads: Loads,
=======
    lost: (list: readonly Addressee[], node: NodeId) => MaybePromise<unknown>,
>>>>>>> main
  ): Promise<unknown> | undefined {
    let work: Promise<unknown> | undefined;
    for (const [node, to] of this.byNode) {
      const done = cluster.send(node, { kind: 'deliver', to, ...sent });
      if (!isPromise(done)) continue;
<<<<<<< HEAD
      const safe = loads.add(node, done, () => lost(to));
=======
      const safe = done.catch(() => lost(to, node));
>>>>>>> main
      work = work === undefined ? safe : Promise.all([work, safe]);
    }
    return work;
  }
}
