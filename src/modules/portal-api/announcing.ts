// What the portal has the server say (`/admin_api/server/announcement`): to who is connected, to everybody, or to some.
import { randomBytes } from 'node:crypto';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { messageOf } from '../../xmpp/stanza.ts';
import { ApiError } from './errors.ts';
import type { Run } from './people.ts';

export interface AnnouncingParts {
  readonly host: Host;
  readonly router: Router;
  readonly run: Run;
}

/** How many may be named one by one. */
const MOST = 100;

/** @throws ApiError, CommandError */
export async function announce(
  { host, router, run }: AnnouncingParts,
  { recipients, body }: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (typeof body !== 'string' || body.trim() === '') throw new ApiError('bad-request', 'What is to be said?');
  const said = { text: body, host: host.domain };
  if (recipients === 'online') await run('announce', said);
  // everybody is told once, now or when they come next
  else if (recipients === 'all') await run('motd set', said);
  else {
    const people = Array.isArray(recipients) ? recipients.map((one) => Jid.parse(String(one))) : [];
    const isOurs = (jid: Jid | undefined): jid is Jid => jid?.domain === host.domain && jid.local !== '';
    if (people.length === 0 || people.length > MOST || !people.every(isOurs)) {
      throw new ApiError('bad-request', '"recipients" is "online", "all", or a list of accounts here');
    }
    for (const to of people) {
      const attrs = { from: host.domain, to: to.full, id: randomBytes(9).toString('base64url') };
      const message = el('message', null, attrs, el('body', null, undefined, body));
      await router.send(messageOf(message, host.jid, to), host);
    }
  }
}
