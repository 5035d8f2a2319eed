// How the first account comes to be: by a link that whoever starts the server opens in a browser.
import type { Logger } from '../base/log.ts';
import type { Host } from '../core/host.ts';
import { invitations } from '../modules/invitations/service.ts';

/** What such an invitation is known by. */
const SOURCE = 'first start';
const HOUR = 3_600_000;
const LIFETIME = 24 * HOUR;
/** One that ends sooner is not shown again, milliseconds. */
const LEFT = HOUR;

/**
 * The address of a page on which somebody makes an account that administers the host, once; the same at every start for as long as
 * it holds. Undefined where accounts are not made that way, or nothing serves the page.
 */
export async function firstInvitation(host: Host, now: number, log: Logger): Promise<string | undefined> {
  const book = host.find(invitations);
  if (book === undefined || host.settings.registration === 'closed') return undefined;
  try {
    const known = (await book.list()).find(
      ({ source, state, expires }) => source === SOURCE && state === 'open' && expires - now > LEFT,
    );
    const invitation =
      known ?? (await book.create({ kind: 'account', role: 'admin', uses: 1, ttl: LIFETIME, source: SOURCE }));
    // nobody would ever see the link
    if (invitation.page === undefined) await book.revoke(invitation.token);
    return invitation.page;
  } catch (error) {
    // there is another way, and the server runs
    log.warn({ err: error }, 'no invitation could be made for the first account');
    return undefined;
  }
}
