// What may be set of the archives of rooms, what they are stored in, and the field of theirs in the owner's form.
import { z } from 'zod';
import { durationOrForever } from '../../config/schema.ts';
import { archive, kv } from '../../storage/specs.ts';
import { booleanField } from '../../xmpp/dataform.ts';
import type { OwnRetention } from '../mam/retention.ts';
import { searchable } from '../mam/search.ts';
import { reading } from '../mam/settings.ts';
import type { ExtraField } from '../muc/settings.ts';
import { speakerOf } from './said.ts';

export const settings = z.strictObject({
  retention: durationOrForever()
    .prefault('forever')
    .meta({ description: 'How long what is said in rooms is kept: `90d`, `1y`, `forever`.' }),
  ...reading,
});

/** The owner is the room's localpart. */
export const stores = {
  messages: archive({ searchable: searchable(speakerOf) }),
  retention: kv<OwnRetention>(),
};

/** Whether a room keeps what is said. (`muc#roomconfig_enablelogging` is about logs for the public.) */
export const keeping: ExtraField<boolean> = {
  name: 'muc#roomconfig_enablearchiving',
  field: booleanField('Keep what is said, for those who may enter to read later'),
  fallback: true,
};
