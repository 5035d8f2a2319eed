// What may be set of archives, and what they are stored in; also for the administration, which reaches them without a server.
import { z } from 'zod';
import { durationOrForever } from '../../config/schema.ts';
import { archive, kv } from '../../storage/specs.ts';
import { defaults, type Prefs } from './prefs.ts';
import { senderInAccount } from './references.ts';
import type { OwnRetention } from './retention.ts';
import { searchable } from './search.ts';

/** What may be set of reading any archive. */
export const reading = {
  'page-size': z
    .int()
    .min(1)
    .max(1000)
    .prefault(250)
    .meta({ description: 'Messages that one query returns, at most.' }),
  search: z.boolean().prefault(true).meta({ description: 'Whether people may search in archives that they may read.' }),
  languages: z
    .array(z.string().regex(/^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*$/))
    .min(1)
    .prefault(['en'])
    .meta({
      description:
        'Languages that messages are written in, for searches (RFC 5646); the first is taken where a message names none.',
    }),
};

export const settings = z.strictObject({
  retention: durationOrForever().prefault('forever').meta({
    description:
      'How long messages are kept: `90d`, `1y`, `forever`; for one account otherwise by `parley archive retention`.',
  }),
  default: z.enum(defaults).prefault('always').meta({
    description:
      'Whose messages are kept for accounts that did not say: `always` those of everybody, `roster` those of contacts, or `never` any.',
  }),
  ...reading,
});

export const stores = {
  messages: archive({ searchable: searchable(senderInAccount) }),
  prefs: kv<Prefs>({ cache: true }),
  retention: kv<OwnRetention>(),
};
