// Who somebody is, by name and password, at the doors for browsers and tools; guesses are slowed down as those at the doors for XMPP.
import type { Throttle } from '../../auth/throttle.ts';
import type { Host } from '../../core/host.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import type { Standing } from './scopes.ts';

/** Somebody who is known. */
export interface Person extends Standing {
  /** Localpart, prepared. */
  readonly user: string;
  /** The account's, as it was when the password was verified. */
  readonly epoch: number;
}

export interface Door {
  readonly host: Host;
  readonly throttle: Throttle;
}

/** `too-many`: nothing was verified. */
export type Refused = 'wrong' | 'too-many';

/** Where somebody comes from. */
export interface Origin {
  readonly address: string;
  /** Many people come from there, through one program: what one of them mistypes is nothing to the others. */
  readonly isShared?: boolean;
}

/**
 * @param name a localpart, or a bare JID of the host
 */
export async function verify(
  { host, throttle }: Door,
  { address, isShared = false }: Origin,
  name: string,
  password: string,
): Promise<Person | Refused> {
  const local = localOf(host, name);
  const attempt = host.settings.limits.enabled
    ? throttle.begin(isShared ? `${address} for ${local}` : address, `${local ?? name}@${host.domain}`)
    : undefined;
  if (attempt?.isRefused) return 'too-many';
  try {
    const { state, epoch } = await host.accounts.plain(local, password);
    if (state === 'active' && local !== undefined) {
      attempt?.succeeded();
      return personOf(host, local, epoch);
    }
    await attempt?.failed().delay;
    return 'wrong';
  } finally {
    attempt?.release();
  }
}

/** An account as it is now. */
export async function personOf(host: Host, user: string, epoch: number): Promise<Person> {
  const isNamed = host.settings.admins.includes(Jid.of(user, host.domain).bare);
  return { user, epoch, role: (await host.roles.of(user)) ?? '', isNamed };
}

function localOf(host: Host, name: string): string | undefined {
  if (!name.includes('@')) return prepareLocal(name);
  const jid = Jid.parse(name);
  return jid?.isBare && jid.domain === host.domain && jid.local !== '' ? jid.local : undefined;
}
