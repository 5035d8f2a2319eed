// The settings of what a host tells the world of itself: whom to write to, where its web pages are.
import { z } from 'zod';
import { quote, url } from './schema.ts';

const contactRoles = ['abuse', 'admin', 'feedback', 'sales', 'security', 'status', 'support'] as const;
const uriProblem = (value: unknown): string =>
  typeof value === 'string' && /^[^\s:@]+@[^\s:@]+$/.test(value)
    ? `${quote(value)} is not a URI. Try "xmpp:${value}" or "mailto:${value}".`
    : `${quote(value)} is not a URI. Try "mailto:abuse@example.org".`;
/** An address of any kind, `mailto:` and `xmpp:` too. */
export const uri = z
  .string({ error: (issue) => uriProblem(issue.input) })
  .refine((text) => /^[a-z][a-z0-9+.-]*:\S+$/i.test(text), { error: (issue) => uriProblem(issue.input) });
const contact = z
  .union([uri, z.array(uri)], { error: (issue) => uriProblem(issue.input) })
  .transform((value): readonly string[] => (typeof value === 'string' ? [value] : value))
  .prefault([]);
export const contacts = z
  .strictObject(
    Object.fromEntries(
      contactRoles.map((role) => [role, contact.meta({ description: `Addresses for ${role}.` })]),
    ) as Record<(typeof contactRoles)[number], typeof contact>,
  )
  .prefault({})
  .meta({
    description:
      'Whom to write to, told by XEP-0157: one URI or several (`mailto:`, `xmpp:`, `https:`) for each purpose.',
  });

export const web = z
  .strictObject({
    url: url(['https:', 'http:'], 'https://chat.example.org')
      .refine((text) => !URL.canParse(text) || (new URL(text).search === '' && new URL(text).hash === ''), {
        error: 'has more than a path after the name. Try "https://chat.example.org".',
      })
      .transform((text) => text.replace(/\/+$/, ''))
      .nullable()
      .prefault(null)
      .meta({
        description:
          'Where people find the web pages of the host, and files that were sent, as seen from outside. Default: `https://` and the domain, with the port of the `https` listener; for `localhost` what its `http` listener serves.',
      }),
  })
  .prefault({})
  .meta({ description: 'The host on the web.' });
