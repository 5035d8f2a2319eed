// Which components are connected to which node of the cluster: every node tells the others of its own, as often as that changes and
// now and then.
import type { Clock } from '../base/clock.ts';
import type { Cluster, NodeId } from '../cluster/cluster.ts';

const topic = 'components';
const question = 'components.list';
/** So often a node says again what it has said, in milliseconds: word of it may have been lost. */
const AGAIN = 60_000;

/** What is connected to a node: domains, and since when, in milliseconds since 1970. */
interface Word {
  /** Rises, so that an older answer does not undo what was heard since. */
  readonly number: number;
  readonly connected: readonly (readonly [domain: string, since: number])[];
}

interface Place {
  readonly number: number;
  readonly connected: ReadonlyMap<string, number>;
}

export interface PlacesParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  /** What is connected to this node: domains, and since when. */
  readonly own: () => readonly (readonly [domain: string, since: number])[];
  /** A component is connected to another node. */
  readonly onRival: (domain: string, since: number, node: NodeId) => void;
  /** A component is no longer connected to any other node. */
  readonly onLost: (domain: string) => void;
}

export class ComponentPlaces {
  private readonly parts: PlacesParts;
  private readonly places = new Map<NodeId, Place>();
  private readonly stops: (() => void)[];
  private number = 0;
  private stopRepeating = (): void => {};

  constructor(parts: PlacesParts) {
    this.parts = parts;
    const { cluster } = parts;
    this.stops = [
      cluster.answer(question, () => this.word()),
      cluster.subscribe(topic, (body, from) => this.take(body as Word, from)),
      cluster.onNode((node, isUp) => (isUp ? this.ask(node) : this.forget(node))),
      cluster.onGap((isOurs) => {
        this.askAll();
        if (isOurs) this.announce();
      }),
    ];
    this.askAll();
    this.repeat();
  }

  /** The other nodes that a component is connected to. */
  of(domain: string): readonly NodeId[] {
    if (this.places.size === 0) return nowhere;
    return [...this.places].filter(([, { connected }]) => connected.has(domain)).map(([node]) => node);
  }

  /** What is connected to this node has changed. */
  announce(): void {
    this.number++;
    if (this.parts.cluster.nodes.size > 1) this.parts.cluster.publish(topic, this.word());
  }

  stop(): void {
    this.stopRepeating();
    for (const stop of this.stops) stop();
  }

  private word(): Word {
    return { number: this.number, connected: this.parts.own() };
  }

  private repeat(): void {
    this.stopRepeating = this.parts.clock.after(AGAIN, () => {
      if (this.word().connected.length > 0) this.announce();
      this.repeat();
    });
  }

  private askAll(): void {
    const { cluster } = this.parts;
    for (const node of [...this.places.keys()]) if (!cluster.nodes.has(node)) this.forget(node);
    for (const node of cluster.nodes) if (node !== cluster.self) this.ask(node);
  }

  private ask(node: NodeId): void {
    this.parts.cluster.call(node, question, undefined).then(
      (word) => this.take(word as Word, node),
      // one that starts, or is gone, says so itself
      () => {},
    );
  }

  private take({ number, connected }: Word, node: NodeId): void {
    const before = this.places.get(node);
    if (before !== undefined && before.number > number) return;
    if (!this.parts.cluster.nodes.has(node)) return;
    const now = new Map(connected);
    this.places.set(node, { number, connected: now });
    for (const [domain, since] of now) this.parts.onRival(domain, since, node);
    for (const domain of before?.connected.keys() ?? []) this.lost(domain);
  }

  private forget(node: NodeId): void {
    const place = this.places.get(node);
    this.places.delete(node);
    for (const domain of place?.connected.keys() ?? []) this.lost(domain);
  }

  private lost(domain: string): void {
    if (this.of(domain).length === 0) this.parts.onLost(domain);
  }
}

const nowhere: readonly NodeId[] = [];
