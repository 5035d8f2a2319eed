// XEP-0455: Service Outage Status. Where clients find out why the server cannot be reached, told while it can be: a document on another machine, which
// outlives this one, or else the one that is served here, which says what is planned.
import { z } from 'zod';
import { uri } from '../config/public.ts';
import { quote } from '../config/schema.ts';
import { defineModule } from '../core/module.ts';
import type { WebReply } from '../core/web.ts';
import { formatDateTime, parseDateTime } from '../xmpp/datetime.ts';
import { infoForm } from '../xmpp/info-form.ts';
import { NS } from '../xmpp/ns.ts';

const PATH = '/outage.json';

const timeProblem = (value: unknown): string => `${quote(value)} is not a time. Try "2026-01-31T12:00:00Z".`;
const time = z.string({ error: (issue) => timeProblem(issue.input) }).transform((text, context) => {
  const at = parseDateTime(text);
  if (at !== undefined) return at;
  context.addIssue({ code: 'custom', message: timeProblem(text) });
  return z.NEVER;
});

const outage = z.strictObject({
  planned: z.boolean().prefault(true).meta({ description: 'Whether it was meant to happen.' }),
  beginning: time.meta({ description: 'When it begins, about.' }),
  'expected-end': time.nullable().prefault(null).meta({ description: 'When it will be over, where that is known.' }),
  message: z
    .record(z.string().regex(/^(default|[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*)$/), z.string().min(1))
    .refine((texts) => texts.default !== undefined, { error: 'has no "default", for people of all other languages' })
    .nullable()
    .prefault(null)
    .meta({ description: 'What people are told, by language; `default` for all others.' }),
});
type Outage = z.output<typeof outage>;

export default defineModule({
  xeps: ['XEP-0455 0.4.0'],
  summary: 'Tells clients where to look when the server cannot be reached',
  config: z
    .strictObject({
      addresses: z
        .array(uri)
        .prefault([])
        .meta({
          description: `Where the status of the server is told, best from another machine. Default: \`${PATH}\` of this one, which knows of \`outage\`.`,
        }),
      outage: outage.nullable().prefault(null).meta({ description: 'What is planned, or going on.' }),
    })
    .prefault({}),

  setup({ config, web }) {
    const reply: WebReply = {
      status: 200,
      type: 'application/json',
      // clients in browsers come from elsewhere
      headers: { 'access-control-allow-origin': '*', 'cache-control': 'public, max-age=60' },
      body: JSON.stringify(config.outage === null ? {} : documentOf(config.outage)),
    };
    return {
      // (the address is known only once the server listens)
      get info() {
        const own = web.url(PATH);
        const addresses = config.addresses.length > 0 || own === undefined ? config.addresses : [own];
        if (addresses.length === 0) return [];
        return [infoForm(NS.outageStatus, [['external-status-addresses', 'list-multi', addresses]])];
      },
      routes: [{ methods: ['GET'], path: PATH, handle: () => reply }],
    };
  },
});

/** 3.2 */
function documentOf({ planned, beginning, 'expected-end': end, message }: Outage): object {
  return {
    planned,
    beginning: formatDateTime(beginning),
    ...(end !== null && { expected_end: formatDateTime(end) }),
    ...(message !== null && { message }),
  };
}
