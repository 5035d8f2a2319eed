// Whose of an account's clients a session is (XEP-0388 2.3).
import type { SessionEntry } from '../cluster/cluster.ts';
import { defineSlot } from './sessions.ts';

/** Which of its account's clients a session belongs to, by our name for it, where the client has said (XEP-0388 2.3). */
export const clientSlot = defineSlot<string>('client', { shared: true });

/** The name of a session's client; one that has not said which one it is, is known by the session itself. */
export function clientOf({ shared, sid }: Pick<SessionEntry, 'shared' | 'sid'>): string {
  const client = shared[clientSlot.name];
  return typeof client === 'string' ? client : `session.${sid}`;
}
