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
    lost: (list: readonly Addressee[], node: NodeId) => MaybePromise<unknown>,
  ): Promise<unknown> | undefined {
    let work: Promise<unknown> | undefined;
    for (const [node, to] of this.byNode) {
      const done = cluster.send(node, { kind: 'deliver', to, ...sent });
      if (!isPromise(done)) continue;
      const safe = done.catch(() => lost(to, node));
      work = work === undefined ? safe : Promise.all([work, safe]);
    }
    return work;
  }
}
