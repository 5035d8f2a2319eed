// The settings of federation: with whom, how strictly, and how much of it.
import { z } from 'zod';
import { prepareDomain } from '../xmpp/jid.ts';
import { bytes, duration, quote } from './schema.ts';

const domainProblem = (value: unknown): string =>
  `${quote(value)} is not a domain. Try "example.org", or "*.example.org" for all that are below it.`;
const domains = z
  .array(
    z.string({ error: (issue) => domainProblem(issue.input) }).transform((text, context) => {
      const below = text.startsWith('*.') ? '*.' : '';
      const domain = prepareDomain(text.slice(below.length));
      if (domain === undefined) context.addIssue({ code: 'custom', message: domainProblem(text) });
      return `${below}${domain}`;
    }),
  )
  .prefault([]);

export const s2s = z
  .strictObject({
    enabled: z.boolean().prefault(true).meta({ description: 'Whether there is any exchange with other servers.' }),
    'require-valid-certificates': z.boolean().prefault(false).meta({
      description: 'Refuse servers that prove their name by dialback (XEP-0220) only.',
    }),
    policy: z.enum(['open', 'allow-list', 'deny-list']).prefault('open').meta({
      description: 'Whom to talk to: everybody, only the domains in `allow`, or everybody but those in `deny`.',
    }),
    allow: domains.meta({ description: 'The domains of an allow-list; `*.example.org` stands for all below it.' }),
    deny: domains.meta({ description: 'The domains of a deny-list; `*.example.org` stands for all below it.' }),
    bidi: z.boolean().prefault(true).meta({
      description: 'Whether stanzas may come back over the connection that they went out on (XEP-0288).',
    }),
    'stanza-bytes': bytes().prefault('512KiB').meta({ description: 'Largest stanza that another server may send.' }),
    'bytes-per-second': bytes().prefault('2MB').meta({
      description: 'What one stream of another server may send in the long run; beyond it, reading pauses.',
    }),
    'bytes-burst': bytes().prefault('20MB').meta({ description: 'The same, at once before the rate counts.' }),
    'stanzas-per-second': z
      .number()
      .positive()
      .prefault(1000)
      .meta({ description: 'Stanzas of one stream of another server in the long run; beyond it, reading pauses.' }),
    'stanzas-burst': z.int().positive().prefault(10_000).meta({
      description: 'The same, at once before the rate counts.',
    }),
    'queue-stanzas': z.int().positive().prefault(10_000).meta({
      description:
        'Stanzas that may wait for one domain until it is reached, or until it has acknowledged them; beyond it, senders get an error.',
    }),
    'queue-bytes': bytes().prefault('8MiB').meta({ description: 'The same, in characters of XML.' }),
    'queue-time': duration().prefault('1m').meta({
      description: 'How long stanzas wait for a domain to be reached, before their senders get an error.',
    }),
    'send-queue-bytes': bytes().prefault('8MiB').meta({
      description: 'What may wait for a server that does not read, before its stream is closed.',
    }),
    'auth-timeout': duration().prefault('30s').meta({
      description: 'How long one connection may take until a name is proved, on either side.',
    }),
    'idle-timeout': duration().prefault('30m').meta({
      description: 'A stream over which nothing came or went for so long is closed; the next stanza opens another.',
    }),
  })
  .prefault({})
  .meta({ description: 'Federation with other servers.' });
