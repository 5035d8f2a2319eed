// The nodes of accounts, as every node of the cluster knows them that looks without asking their owner: read when they are asked for first, and
// forgotten when their owner says that something has changed. What it has said may come a moment later than it was done.
import { LruCache } from '../../base/lru.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { MapStore } from '../../storage/ports.ts';
import type { NodeRow } from '../pubsub/rows.ts';

/** Accounts. */
const REMEMBERED = 20_000;

type Rows = ReadonlyMap<string, NodeRow>;

export class NodeIndex {
  private readonly store: MapStore<NodeRow>;
  private readonly cluster: Cluster;
  private readonly topic: string;
  private readonly isMeant: (user: string, name: string) => boolean;
  private readonly known = new LruCache<string, Rows>(REMEMBERED);
  /** What is being read: word of a change that comes meanwhile is of what is read, too. */
  private readonly reading = new Map<string, Promise<Rows>>();

  /** @param isMeant whether a node of that name is to be known here */
  constructor(
    store: MapStore<NodeRow>,
    cluster: Cluster,
    domain: string,
    isMeant: (user: string, name: string) => boolean = () => true,
  ) {
    this.store = store;
    this.isMeant = isMeant;
    this.cluster = cluster;
    this.topic = `pep.nodes ${domain}`;
  }

  /** Listens to the other nodes; returns how to stop. */
  listen(): () => void {
    const stops = [
      this.cluster.subscribe(this.topic, (user) => this.forget(String(user))),
      this.cluster.onGap(() => {
        this.known.clear();
        this.reading.clear();
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** By name. */
  of(user: string): MaybePromise<Rows> {
    const known = this.known.get(user);
    if (known !== undefined) return known;
    const before = this.reading.get(user);
    if (before !== undefined) return before;
    const rows = this.store.all(user);
    if (!isPromise(rows)) {
      const meant = this.meant(user, rows);
      this.known.set(user, meant);
      return meant;
    }
    const reading = rows
      .then((all) => {
        const read = this.meant(user, all);
        if (this.reading.get(user) === reading) this.known.set(user, read);
        return read;
      })
      .finally(() => {
        if (this.reading.get(user) === reading) this.reading.delete(user);
      });
    this.reading.set(user, reading);
    return reading;
  }

  /** Something has changed, which this node has done. */
  changed(user: string): void {
    this.forget(user);
    this.cluster.publish(this.topic, user);
  }

  private meant(user: string, all: Rows): Rows {
    const some = [...all].filter(([name]) => this.isMeant(user, name));
    return some.length === all.size ? all : new Map(some);
  }

  private forget(user: string): void {
    this.known.delete(user);
    this.reading.delete(user);
  }
}
