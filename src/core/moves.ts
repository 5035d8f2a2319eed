// Sessions that have moved from node to node. A session keeps its sid for life: the node in it is the one where it was born. Where
// it lives the directory says; what the directory does not say is here: where one lives that has just gone from this node, and where
// one lived last that is over.
import { LruCache } from '../base/lru.ts';
import type { Cluster, NodeId, SessionEntry } from '../cluster/cluster.ts';

/** So many sessions are remembered. */
const REMEMBERED = 32_768;
const TOPIC = 'session.moved';

/** The node in the name of a session, of its stream management, or of a node's life. */
export function nodeIn(name: string): NodeId {
  return name.slice(name.indexOf('.') + 1) as NodeId;
}

export class Moves {
  private readonly cluster: Cluster;
  /** Where sessions live, or lived last, that are not where they were born. */
  private readonly places = new LruCache<string, NodeId>(REMEMBERED);
  /**
   * Where those went that this node has had. Only who has had a session sends on what comes for it: then each step leads to
   * where it was later, and none in a circle.
   */
  private readonly gone = new LruCache<string, NodeId>(REMEMBERED);

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    cluster.subscribe(TOPIC, (sids, from) => {
      for (const sid of sids as readonly string[]) this.places.set(sid, from);
    });
  }

  /** The node where a session lives, or lived last. */
  nodeOf(sid: string): NodeId {
    return (this.places.size === 0 ? undefined : this.places.get(sid)) ?? nodeIn(sid);
  }

  /** The node that a session has gone to from this one, if that is there still. */
  whither(sid: string): NodeId | undefined {
    const node = this.gone.size === 0 ? undefined : this.gone.get(sid);
    return node !== undefined && this.cluster.nodes.has(node) ? node : undefined;
  }

  /** The directory says where a session lives. */
  learn({ sid, node }: SessionEntry): void {
    if (this.nodeOf(sid) !== node) this.places.set(sid, node);
  }

  /** A session of this node lives elsewhere now. */
  left(sid: string, to: NodeId): void {
    this.places.set(sid, to);
    this.gone.set(sid, to);
  }

  /** Sessions that were born elsewhere live here now; the other nodes are told. */
  arrived(sids: readonly string[]): void {
    for (const sid of sids) {
      this.places.set(sid, this.cluster.self);
      this.gone.delete(sid);
    }
    if (sids.length > 0) this.cluster.publish(TOPIC, sids);
  }
}
