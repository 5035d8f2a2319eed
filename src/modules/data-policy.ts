// XEP-0504: Data Policy. What the operator says of what becomes of people's data; nothing is told of what nothing is said about.
//
// - 3.2 and the forms of identities are for gateways, which speak for themselves. 3.7: where the server stands is for the operator to publish (XEP-0080).
import { z } from 'zod';
import { uri } from '../config/public.ts';
import { durationOrForever } from '../config/schema.ts';
import { defineModule } from '../core/module.ts';
import { type InfoField, infoForm } from '../xmpp/info-form.ts';
import { NS } from '../xmpp/ns.ts';

const HOUR = 3_600_000;
const accesses = [
  'admins',
  'moderators',
  'organization_member',
  'government',
  'advertisers',
  'partners',
  'none',
] as const;

const settings = z
  .strictObject({
    authentication: z.enum(['no_auth', 'plain', 'hidden', 'restricted']).nullable().prefault(null).meta({
      description:
        'What becomes of passwords: `hidden` where clients prove to have them (SCRAM), `plain` where the server gets to see them, `no_auth`, `restricted`.',
    }),
    retention: durationOrForever().nullable().prefault(null).meta({
      description: 'How long messages and files are kept at most; `0s` for not at all.',
    }),
    deletion: z
      .boolean()
      .nullable()
      .prefault(null)
      .meta({ description: 'Whether people can delete what they have said or sent.' }),
    'encryption-at-rest': z.boolean().nullable().prefault(null).meta({ description: 'Whether disks are encrypted.' }),
    terms: uri.nullable().prefault(null).meta({ description: 'Address of the terms of service.' }),
    export: z
      .boolean()
      .nullable()
      .prefault(null)
      .meta({ description: 'Whether people can take their data with them.' }),
    access: z
      .array(z.enum(accesses))
      .refine((list) => list.length < 2 || !list.includes('none'), { error: '"none" stands alone' })
      .prefault([])
      .meta({ description: 'Who, beside its owner, can read what is kept.' }),
    erasure: z
      .boolean()
      .nullable()
      .prefault(null)
      .meta({ description: 'Whether accounts go with everything they have.' }),
    'backup-every': durationOrForever()
      .nullable()
      .prefault(null)
      .meta({ description: 'The longest time between two backups; `0s`: there are none.' }),
    'backup-retention': durationOrForever()
      .nullable()
      .prefault(null)
      .meta({ description: 'How long backups are kept.' }),
    more: z.array(z.string().min(1)).prefault([]).meta({ description: 'What else there is to say, in lines.' }),
  })
  .prefault({});
type Policy = z.output<typeof settings>;

export default defineModule({
  xeps: ['XEP-0504 0.1.0'],
  summary: 'Tells what becomes of the data of people, as far as the operator says so',
  hosts: ['users', 'rooms', 'pubsub', 'upload'],
  config: settings,

  setup({ config }) {
    const fields = fieldsOf(config);
    return fields.length === 0 ? {} : { info: [infoForm(NS.dataPolicy, fields)] };
  },
});

/** 3 */
function fieldsOf(policy: Policy): InfoField[] {
  const fields: InfoField[] = [];
  const one = (name: string, type: string, value: string | null | undefined): void => {
    if (value !== null && value !== undefined) fields.push([name, type, [value]]);
  };
  const flag = (name: string, value: boolean | null): void =>
    one(name, 'boolean', value === null ? null : String(value));
  one('auth_data', 'list-single', policy.authentication);
  one('data_retention', 'text-single', hours(policy.retention));
  flag('data_deletion', policy.deletion);
  flag('encryption_at_rest', policy['encryption-at-rest']);
  one('tos', 'text-single', policy.terms);
  flag('data_export', policy.export);
  if (policy.access.length > 0) fields.push(['access_policy', 'list-multi', policy.access]);
  flag('full_erasure', policy.erasure);
  one('backup_frequency', 'text-single', hours(policy['backup-every']));
  one('backup_retention', 'text-single', hours(policy['backup-retention']));
  if (policy.more.length > 0) fields.push(['extra_info', 'text-multi', policy.more]);
  return fields;
}

/** At most so many; a part of one counts as one. */
function hours(ms: number | null): string | undefined {
  if (ms === null) return undefined;
  return Number.isFinite(ms) ? String(Math.ceil(ms / HOUR)) : 'infinite';
}
