// What the archives of accounts and those of rooms have in common as modules: what they say of themselves, and when what is too old is
// looked for.
import type { Cluster } from '../../cluster/cluster.ts';
import type { Setup } from '../../core/module.ts';
import { NS } from '../../xmpp/ns.ts';

/** How often what is too old is looked for. */
const EVERY = 6 * 3_600_000;

/** What can be asked of an archive. */
export function archiveFeatures(isSearched: boolean): readonly string[] {
  return [
    NS.mam,
    NS.mamExtended,
    NS.mamGroupchatField,
    NS.stanzaIds,
    NS.retraction,
    NS.retractionTombstone,
    ...(isSearched ? [NS.fullText] : []),
  ];
}

export interface UpkeepParts {
  readonly cluster: Cluster;
  readonly every: Setup<unknown, unknown, unknown>['every'];
  /** Of these archives, of all that there are. */
  readonly name: string;
  /** What is to be done, on one node; asks between its steps whether it goes on. */
  readonly work: (goesOn: () => boolean) => Promise<void>;
}

/** Has it done at regular times. */
export class Upkeep {
  private readonly parts: UpkeepParts;
  private stopped = false;

  constructor(parts: UpkeepParts) {
    this.parts = parts;
    parts.every(EVERY, 'removal of old messages', () => this.run());
  }

  /** Does it now, where it is for this node to do. */
  async run(): Promise<void> {
    if (this.goesOn) await this.parts.work(() => this.goesOn);
  }

  /** The step that is under way is the last one. */
  stop(): void {
    this.stopped = true;
  }

  get isStopped(): boolean {
    return this.stopped;
  }

  private get goesOn(): boolean {
    const { cluster, name } = this.parts;
    return !this.stopped && cluster.owner(name) === cluster.self;
  }
}
