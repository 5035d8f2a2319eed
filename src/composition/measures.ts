// What a server counts of itself, and the gauges that look at it when the figures are read.
import type { ClientAcceptor } from '../c2s/acceptor.ts';
import type { StreamManagement } from '../c2s/sm.ts';
import type { Web } from '../c2s/web.ts';
import { counter, type Metrics } from '../core/metrics.ts';
import type { Sessions } from '../core/sessions.ts';

export const streamManagementMetrics = {
  enabled: counter('Sessions that switched stream management on'),
  resumed: counter('Sessions that were resumed'),
  failed: counter('Attempts to resume a session that failed'),
  hibernated: counter('Sessions that lost their connection and waited to be resumed'),
  expired: counter('Sessions that waited to be resumed for too long'),
  unanswered: counter('Connections given up because the client did not acknowledge what it was sent'),
  overflowed: counter('Sessions ended because too much waited to be acknowledged'),
  displaced: counter('Sessions ended early because those that waited to be resumed took too much memory'),
  returned: counter('Stanzas that were never acknowledged, and went back through the rules of delivery'),
  arrived: counter('Sessions that came from other nodes'),
  departed: counter('Sessions that went to other nodes'),
};

export const clientMetrics = {
  stanzasIn: counter('Stanzas received from clients'),
  authOk: counter('Successful authentications'),
  authFailed: counter('Failed authentications'),
  streamErrors: counter('Client streams that ended with an error'),
};

export interface Observed {
  readonly metrics: Metrics;
  /** The domains that are served. */
  readonly domains: () => Iterable<string>;
  readonly sessions: Sessions;
  readonly sm: StreamManagement;
  readonly clients: ClientAcceptor;
  readonly web: Web;
}

export function observe({ metrics, domains, sessions, sm, clients, web }: Observed): void {
  metrics.observe('sessions', 'Bound resources on this node', ['host'], (gauge) => {
    for (const domain of domains()) gauge.set({ host: domain }, 0);
    for (const session of sessions.all()) gauge.inc({ host: session.host.domain });
  });
  metrics.observe('sm_hibernating', 'Sessions that wait to be resumed', ['host'], (gauge) => {
    for (const domain of domains()) gauge.set({ host: domain }, 0);
    for (const { session } of sm.hibernating()) gauge.inc({ host: session.host.domain });
  });
  metrics.observe('c2s_connections', 'Open client connections', [], (gauge) => gauge.set(clients.count));
  metrics.observe('bosh_sessions', 'Open BOSH sessions', [], (gauge) => gauge.set(web.boshSessions));
  metrics.process();
}
