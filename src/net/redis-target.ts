// Where Redis is, as the configuration says it, and as ioredis is told of it.
import type { RedisOptions } from 'ioredis';

/** A URL (`redis:`, `rediss:`, `redis+unix:`), what Sentinel calls a server, or some nodes of a Redis Cluster. */
export type RedisTarget =
  | string
  | {
      readonly sentinels: readonly string[];
      readonly name: string;
      readonly password?: string | undefined;
      readonly username?: string | undefined;
    }
  | { readonly cluster: readonly string[] };

type ClientOptions = RedisOptions & { replyMapping?: 'legacy' };

/** Without a word from Redis for so long, though it was asked, a connection counts as broken. */
export const SILENCE_MS = 4000;
export const CONNECT_MS = 3000;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;

/** How long to wait before another attempt, in milliseconds. */
export function backOff(attempt: number): number {
  return Math.min(RETRY_MIN_MS * 2 ** Math.min(attempt, 10), RETRY_MAX_MS) * (0.5 + Math.random() / 2);
}

const common = {
  retryStrategy: backOff,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  connectTimeout: CONNECT_MS,
  socketTimeout: SILENCE_MS,
  // a server that has become a replica is not the one to write to
  reconnectOnError: (err: Error) => err.message.startsWith('READONLY'),
  disableClientInfo: true,
  protocol: 2,
} as const satisfies RedisOptions;

/** The number of the database that a URL names; empty where it names none. */
export function redisDatabase(target: string): string {
  const { protocol, pathname, searchParams } = new URL(target);
  return protocol === 'redis+unix:' ? (searchParams.get('db') ?? '') : pathname.slice(1);
}

/** How ioredis is told of a server, or of the sentinels that know it. */
export function optionsOf(target: Exclude<RedisTarget, { readonly cluster: readonly string[] }>): ClientOptions {
  if (typeof target !== 'string') {
    const sentinels = target.sentinels.map((url) => new URL(url));
    const first = sentinels[0];
    const isTls = first?.protocol === 'rediss:';
    return {
      ...common,
      name: target.name,
      sentinels: sentinels.map(({ hostname, port }) => ({
        host: bareHost(hostname),
        port: port === '' ? 26379 : Number(port),
      })),
      ...(first?.password && { sentinelPassword: decodeURIComponent(first.password) }),
      ...(first?.username && { sentinelUsername: decodeURIComponent(first.username) }),
      ...(target.password !== undefined && { password: target.password }),
      ...(target.username !== undefined && { username: target.username }),
      ...(isTls && { tls: {}, enableTLSForSentinelMode: true }),
      sentinelRetryStrategy: backOff,
    };
  }
  const url = new URL(target);
  const password = decodeURIComponent(url.password) || url.searchParams.get('password');
  // an address of a file has no place for a name before it
  const username = decodeURIComponent(url.username) || url.searchParams.get('username');
  const address =
    url.protocol === 'redis+unix:'
      ? { path: decodeURIComponent(url.pathname) }
      : { host: bareHost(url.hostname) || '127.0.0.1', port: url.port === '' ? 6379 : Number(url.port) };
  return {
    ...common,
    ...address,
    db: Number(redisDatabase(target)),
    ...(password && { password }),
    ...(username && { username }),
    ...(url.protocol === 'rediss:' && { tls: { servername: bareHost(url.hostname) } }),
  };
}

/** Without the brackets of an IPv6 address. */
function bareHost(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host;
}
