// Who asks for pages faster than it reads them is served at the pace of its reading, not cut off for it.
import type { Clock } from '../../base/clock.ts';
import type { Session } from '../../core/sessions.ts';
import { StanzaError } from '../../xmpp/errors.ts';

/** What a session may leave unread when the next page is written, in bytes: a page on top of it is well below what ends a stream. */
const UNREAD = 256 * 1024;
/** How often it is looked whether it has read on, and how long at most, in milliseconds. */
const PAUSE = 20;
const PATIENCE = 10_000;

/**
 * Waits until a session has read most of what it was sent, or is gone.
 * @throws StanzaError `resource-constraint` when it does not read
 */
export async function readOn(session: Session, clock: Pick<Clock, 'after'>): Promise<void> {
  for (let waited = 0; (session.stream?.queuedBytes ?? 0) > UNREAD; waited += PAUSE) {
    if (waited >= PATIENCE) throw new StanzaError('resource-constraint', 'what was sent before has not been read yet');
    await new Promise<void>((done) => clock.after(PAUSE, done));
  }
}
