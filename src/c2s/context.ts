// What a client's connection needs of the server it belongs to.
import type { Throttle } from '../auth/throttle.ts';
import type { Allowance, SharedBudgets } from '../base/budget.ts';
import type { Clock } from '../base/clock.ts';
import type { Gate } from '../base/gate.ts';
import type { Logger } from '../base/log.ts';
import type { Rate } from '../base/token-bucket.ts';
import type { Host } from '../core/host.ts';
import type { Counter } from '../core/metrics.ts';
import type { Router } from '../core/router.ts';
import type { Sessions } from '../core/sessions.ts';
import type { TlsContexts } from '../net/tls.ts';
import type { Flusher } from '../net/transport.ts';
import type { StreamManagement } from './sm.ts';
import type { StreamManagementSettings } from './sm-parts.ts';
import type { UnsettledTotal } from './unsettled.ts';

/** Settings of client connections; times in milliseconds. Read afresh at every use, so that a reload takes hold. */
export interface C2sSettings {
  readonly requireTls: boolean;
  readonly stanzaBytesBeforeAuth: number;
  readonly stanzaBytes: number;
  /** For one stream, for all of an account, and for all from one network address. Undefined: no rate limits. */
  readonly allowances: Readonly<Record<'stream' | 'account' | 'address', Allowance>> | undefined;
  readonly outboundBytes: number;
  readonly connectionsPerAddress: number;
  /** New connections from one network address. Undefined: no limit. */
  readonly connectionRate: Rate | undefined;
  readonly sessionsPerAccount: number;
  /** Failed attempts to authenticate until a stream is closed. */
  readonly authAttempts: number;
  readonly preAuthTimeout: number;
  readonly idleTimeout: number;
  readonly streamManagement: StreamManagementSettings;
}

export interface C2sMetrics {
  readonly stanzasIn: Counter;
  readonly authOk: Counter;
  readonly authFailed: Counter;
  readonly streamErrors: Counter;
}

export interface C2sContext {
  /** A host with accounts, by domain. */
  host(domain: string): Host | undefined;
  settings(): C2sSettings;
  /** For taking one connection into TLS; `domain` is the one that the client's stream header named, if it did. */
  tls(domain: string | undefined): ReturnType<TlsContexts['accept']>;
  readonly defaultDomain: string;
  readonly router: Router;
  readonly sessions: Sessions;
  readonly sm: StreamManagement;
  /** Undefined where limits are off. */
  readonly throttle: Throttle | undefined;
  /** By network address, and by bare JID. */
  readonly budgets: SharedBudgets;
  readonly unsettled: UnsettledTotal;
  readonly flusher: Flusher;
  /** What comes from outside waits while it is closed. */
  readonly gate: Gate | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: C2sMetrics;
}
