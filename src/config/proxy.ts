// The settings of the relay for bytestreams between clients.
import { isIPv6, SocketAddress } from 'node:net';
import { z } from 'zod';
import { quote } from './schema.ts';
import { serviceDomain } from './services.ts';

const addressProblem = (value: unknown): string =>
  `${quote(value)} is not a name or an address. Try "proxy.example.org" or "192.0.2.1".`;

export const proxy = z
  .strictObject({
    enabled: z.boolean().prefault(false).meta({
      description:
        'Whether there is one: `proxy: true`. It needs a port (`listen.proxy65`) that clients everywhere can reach.',
    }),
    domain: serviceDomain(
      'proxy.*',
      'What it is called; `*` stands for the domain of the host. Only clients of the host ask for it, so it needs no DNS.',
    ),
    address: z
      .string({ error: (issue) => addressProblem(issue.input) })
      .regex(/^[^\s/@[\]]+$/, { error: (issue) => addressProblem(issue.input) })
      // XEP-0065 4, RFC 5952
      .transform((text) => (isIPv6(text) ? new SocketAddress({ address: text, family: 'ipv6' }).address : text))
      .nullable()
      .prefault(null)
      .meta({
        description:
          'Name or address by which clients reach this machine; each node of a cluster has its own. Default: the domain of the host.',
      }),
    port: z
      .int()
      .min(1)
      .max(65535)
      .nullable()
      .prefault(null)
      .meta({ description: 'Port by which clients reach it, where that is another one than it listens on.' }),
  })
  .prefault({})
  .meta({ description: 'A relay for files that clients send each other directly (XEP-0065).' });
