// What a server counts of itself, and the gauges that look at it when the figures are read.
import type { ClientAcceptor } from '../c2s/acceptor.ts';
import type { StreamManagement } from '../c2s/sm.ts';
import type { Web } from '../c2s/web.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { DirectoryFigures } from '../cluster/redis/directory-options.ts';
import type { RedisCluster } from '../cluster/redis/redis.ts';
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
}

export function isOnRedis(cluster: Cluster): cluster is RedisCluster {
  return 'redis' in cluster;
}

export function observeRedis(
  metrics: Metrics,
  cluster: Pick<RedisCluster, 'isUp' | 'backlog' | 'directoryFigures'>,
): void {
  const figures = (): DirectoryFigures => cluster.directoryFigures;
  metrics.observe('redis_up', 'Whether Redis can be reached', [], (gauge) => gauge.set(cluster.isUp ? 1 : 0));
  metrics.observe('redis_latency_seconds', 'How long Redis took to answer lately, as an average', [], (gauge) =>
    gauge.set(figures().latency / 1000),
  );
  metrics.observe('cluster_backlog_characters', 'What was sent to other nodes and is not handled yet', [], (gauge) =>
    gauge.set(cluster.backlog),
  );
  metrics.observe(
    'directory_lookups',
    'Lookups in the session directory since the start: answered from memory, by Redis, or with what was known before, because Redis did not answer',
    ['answer'],
    (gauge) => {
      const { hits, misses, stale } = figures();
      gauge.set({ answer: 'memory' }, hits);
      gauge.set({ answer: 'redis' }, misses);
      gauge.set({ answer: 'stale' }, stale);
    },
  );
  metrics.observe('directory_accounts', 'Accounts of the session directory that are remembered here', [], (gauge) =>
    gauge.set(figures().size),
  );
  metrics.observe('directory_unsaved', 'Sessions that Redis has to be told of yet, there or gone', [], (gauge) =>
    gauge.set(figures().unsaved),
  );
}
