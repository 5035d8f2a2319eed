// Devices that went with their nodes. Such a death is told to one of the nodes that are left, and rooms are on all of them: that one tells
// the others, and each looks who of them is in a room that it has.
import type { Clock } from '../../base/clock.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import { Jid } from '../../xmpp/jid.ts';

/** What is told counts for so long for rooms that are on their way from one node to another meanwhile, in milliseconds. */
const REMEMBERED = 60_000;

export interface DeparturesParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  /** The host of the rooms, and the one whose people are told of here. */
  readonly rooms: string;
  readonly people: string;
  /** Looks for these in the rooms of this node. */
  readonly look: (devices: readonly Jid[]) => void;
  /** Something may not have been heard here, or been forgotten that was shared. */
  readonly lookAgain: () => void;
}

export class Departures {
  private readonly parts: DeparturesParts;
  private told: { readonly at: number; readonly devices: readonly Jid[] }[] = [];

  constructor(parts: DeparturesParts) {
    this.parts = parts;
  }

  /** Returns how to stop. */
  listen(): () => void {
    const { cluster, rooms, people, lookAgain } = this.parts;
    const topic = `muc.departures:${rooms}`;
    const stops = [
      cluster.onOrphans((sessions) => {
        const devices = sessions.map(({ jid }) => jid).filter(({ domain }) => domain === people);
        if (devices.length === 0) return;
        cluster.publish(
          topic,
          devices.map(({ full }) => full),
        );
        this.hear(devices);
      }),
      cluster.subscribe(topic, (told) => this.hear((told as string[]).flatMap((full) => Jid.parse(full) ?? []))),
      cluster.onGap((isOurs) => {
        if (isOurs) lookAgain();
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Who has gone in the last minute. */
  get lately(): readonly Jid[] {
    this.forget();
    return this.told.flatMap(({ devices }) => devices);
  }

  private hear(devices: readonly Jid[]): void {
    this.forget();
    this.told.push({ at: this.parts.clock.now(), devices });
    this.parts.look(devices);
  }

  private forget(): void {
    const oldest = this.parts.clock.now() - REMEMBERED;
    if (this.told.some(({ at }) => at < oldest)) this.told = this.told.filter(({ at }) => at >= oldest);
  }
}
