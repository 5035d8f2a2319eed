// The invitations of a server that does not run, for the commands of operators.
import type { Clock } from '../../base/clock.ts';
import type { AdminInvitations } from '../../core/invitations.ts';
import type { Driver } from '../../storage/ports.ts';
import type { Opened } from '../../storage/specs.ts';
import { InvitationBook } from './book.ts';
import { pathOf } from './invitation.ts';
import type { InvitationSettings } from './settings.ts';
import { stores } from './stores.ts';

export interface StoredParts {
  readonly driver: Driver;
  readonly domain: string;
  readonly settings: InvitationSettings;
  readonly clock: Clock;
  readonly exists: (user: string) => Promise<boolean>;
  readonly page: (path: string) => string | undefined;
}

export async function openInvitations({ driver, settings, page, ...parts }: StoredParts): Promise<AdminInvitations> {
  const opened = (await driver.open(parts.domain, 'invitations', stores)) as Opened<typeof stores>;
  return new InvitationBook({
    ...parts,
    stores: opened,
    page: (token) => page(pathOf(token)),
    ttl: settings.ttl,
    perAccount: settings['per-account'],
  });
}
