// What the tests of authentication share: accounts in memory whose passwords cost little.
import { type Accounts, type AccountsOptions, accountStores, openAccounts } from '../../../src/auth/accounts.ts';
import type { ClientPolicy } from '../../../src/auth/clients.ts';
import { createPasswordHasher } from '../../../src/auth/credentials.ts';
import type { Step } from '../../../src/auth/mechanism.ts';
import { createExchange, type Exchange, type ExchangeOptions, offeredMechanisms } from '../../../src/auth/sasl.ts';
import type { TlsInfo } from '../../../src/net/tls.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver } from '../../../src/storage/ports.ts';
import type { Opened } from '../../../src/storage/specs.ts';
import { SaslError } from '../../../src/xmpp/errors.ts';
import { FakeClock } from '../../kit/clock.ts';

export const domain = 'example.org';

const day = 24 * 60 * 60_000;
export const testPolicy: ClientPolicy = {
  'token-lifetime': 21 * day,
  'token-rotation': day,
  forget: 90 * day,
  names: true,
  'per-account': 5,
};

export async function testAccounts(
  options: Partial<AccountsOptions> & { readonly driver?: Driver } = {},
): Promise<Accounts> {
  const clock = new FakeClock();
  const driver = options.driver ?? createMemoryDriver(clock);
  const stores = (await driver.open(domain, 'accounts', accountStores)) as Opened<typeof accountStores>;
  return openAccounts({
    domain,
    stores,
    hasher: createPasswordHasher(),
    clock,
    purge: (owner) => driver.purge(domain, owner),
    iterations: 4096,
    clients: () => testPolicy,
    ...options,
  });
}

export const tls13: TlsInfo = {
  protocol: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  exporter: Buffer.alloc(32, 1),
  unique: Buffer.alloc(32, 3),
  endPoint: Buffer.alloc(32, 2),
  servername: domain,
  alpn: undefined,
  peerCertificates: [],
};
export const tls12: TlsInfo = { ...tls13, protocol: 'TLSv1.2', exporter: undefined };

export function exchange(accounts: Accounts, mechanism: string, options: Partial<ExchangeOptions> = {}): Exchange {
  const tls = 'tls' in options ? options.tls : tls13;
  return createExchange({
    mechanism,
    offered: offeredMechanisms(tls, { tlsRequired: false, anonymous: false }),
    domain,
    accounts,
    address: '192.0.2.1',
    ...options,
    tls,
  });
}

export function challengeOf(step: Step): Buffer {
  if ('challenge' in step) return step.challenge;
  throw new Error('no challenge came, but success');
}

export function successOf(step: Step): Extract<Step, { success: unknown }> {
  if ('success' in step) return step;
  throw new Error('no success came, but a challenge');
}

/** The condition that a step fails with. */
export async function failure(step: Promise<unknown>): Promise<string> {
  try {
    await step;
  } catch (error) {
    if (error instanceof SaslError) return error.condition;
    throw error;
  }
  return 'no failure';
}
