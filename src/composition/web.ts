// Where a host is on the web, as people see it from outside.
import type { Host } from '../core/host.ts';
import type { Web } from '../core/web.ts';
import type { Listeners } from './listeners.ts';

const usual: Readonly<Record<string, number>> = { http: 80, https: 443 };

export function webOf(host: Host, listeners: Pick<Listeners, 'get'>): Web {
  const { domain } = host.parent ?? host;
  return {
    url(path) {
      const base = host.settings.web.url ?? baseOf(domain, listeners);
      return base && base + path;
    },
  };
}

/** Undefined where nothing listens. A domain whose only listener is for a proxy is what the proxy makes of it. */
function baseOf(domain: string, listeners: Pick<Listeners, 'get'>): string | undefined {
  const [http, https] = [listeners.get('http')?.port, listeners.get('https')?.port];
  const isLocal = domain === 'localhost' || domain.endsWith('.localhost');
  // browsers take plain HTTP on this machine for safe, and do not know the authority that made the certificate
  if (isLocal && http !== undefined) return `http://${at(domain, 'http', http)}`;
  if (https !== undefined) return `https://${at(domain, 'https', https)}`;
  return http === undefined ? undefined : `https://${at(domain, 'https', 443)}`;
}

/** With the name as it is written in addresses (RFC 3986 3.2.2). */
function at(domain: string, scheme: 'http' | 'https', port: number): string {
  const { hostname } = new URL(`${scheme}://${domain}`);
  return port === usual[scheme] ? hostname : `${hostname}:${port}`;
}
