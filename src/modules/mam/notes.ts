// What the archive tells other modules of a message on its way, and of a session that reads.
import { defineSlot } from '../../core/sessions.ts';
import { defineNote } from '../../core/transit.ts';

/** The id of a message in its sender's archive; not for anybody else's eyes. */
export const sentAs = defineNote<string>('archived-sent');

/** The id of a message in its recipient's archive, which is also in the message as it is delivered. */
export const receivedAs = defineNote<string>('archived-received');

/** The messages that a session has read in the archive before it became available, by id: the latest of them. */
export const readBefore = defineSlot<ReadonlySet<string>>('archive-read', {
  kept: { save: (ids) => [...ids], restore: (ids: readonly string[]) => new Set(ids) },
});
