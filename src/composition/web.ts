// Where a host is on the web, as people see it from outside.
import type { Config } from '../config/server.ts';
import type { Host } from '../core/host.ts';
import type { Web } from '../core/web.ts';
import type { Listeners } from './listeners.ts';

const usual: Readonly<Record<string, number>> = { http: 80, https: 443 };

export function webOf(host: Host, listeners: Pick<Listeners, 'get'>): Web {
  const { domain } = host.parent ?? host;
  return {
    url(path) {
      const ports = { http: listeners.get('http')?.port, https: listeners.get('https')?.port };
      const base = host.settings.web.url ?? baseOf(domain, ports);
      return base && base + path;
    },
  };
}

/** Of a server that does not run, as far as it is known then: a free port is not. */
export function configuredWeb({ hosts, listen }: Config, domain: string): Web {
  const port = (name: 'http' | 'https'): number | undefined => listen[name].port || undefined;
  return {
    url(path) {
      const base = hosts[domain]?.web.url ?? baseOf(domain, { http: port('http'), https: port('https') });
      return base && base + path;
    },
  };
}

interface Ports {
  readonly http: number | undefined;
  readonly https: number | undefined;
}

/** Undefined where nothing listens. A domain whose only listener is for a proxy is what the proxy makes of it. */
function baseOf(domain: string, { http, https }: Ports): string | undefined {
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
