// What stream management needs of the server that it belongs to.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Host } from '../core/host.ts';
import type { Counter } from '../core/metrics.ts';
import type { Router } from '../core/router.ts';
import type { Sessions } from '../core/sessions.ts';
import type { Comeback } from './sm-store.ts';

/** Times in milliseconds. */
export interface StreamManagementSettings {
  /** How long a session can be resumed; 0 switches resumption off. */
  readonly resumeTimeout: number;
  readonly ackTimeout: number;
  readonly queueStanzas: number;
  /** Characters. */
  readonly queueSize: number;
  /** What all sessions that wait to be resumed may take together, in characters. */
  readonly hibernatingSize: number;
  /** Where clients should come back to (XEP-0198 5); null: nothing is said. */
  readonly location: string | null;
}

export interface StreamManagementMetrics {
  readonly enabled: Counter;
  readonly resumed: Counter;
  readonly failed: Counter;
  readonly hibernated: Counter;
  readonly expired: Counter;
  readonly unanswered: Counter;
  readonly overflowed: Counter;
  readonly displaced: Counter;
  readonly returned: Counter;
  readonly arrived: Counter;
  readonly departed: Counter;
}

export interface StreamManagementParts {
  readonly settings: () => StreamManagementSettings;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly sessions: Sessions;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: StreamManagementMetrics;
  /** Takes a session of the account out of the store, if it waits there for whichever node wants it. */
  readonly claim: (host: Host, user: string, id: string, how: Comeback) => Promise<void>;
  /** Of a session that was brought back: it was resumed, or is over, and need not be kept in the store. */
  readonly forget: (host: Host, id: string) => Promise<void>;
}
