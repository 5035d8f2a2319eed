// The settings of what one client or server may ask of us.
import { z } from 'zod';
import { bytes, duration } from './schema.ts';

export const limits = z
  .strictObject({
    enabled: z.boolean().prefault(true).meta({
      description:
        'Whether rates and numbers are limited. `false` is for load tests. Sizes of stanzas and timeouts always hold.',
    }),
    'stanza-bytes': bytes().prefault('256KiB').meta({
      description:
        'Largest stanza after authentication; XEP-0478 tells clients. RFC 6120 13.12 asks for 10 kB at least.',
    }),
    'stanza-bytes-before-auth': bytes()
      .prefault('10kB')
      .meta({ description: 'Largest element before authentication.' }),
    'bytes-per-second': bytes()
      .prefault('50kB')
      .meta({ description: 'What one client stream may send in the long run; beyond it, reading pauses.' }),
    'bytes-burst': bytes().prefault('2MB').meta({
      description:
        'What one client stream may send at once before the rate counts; a rich client sends hundreds of requests at login.',
    }),
    'stanzas-per-second': z
      .number()
      .positive()
      .prefault(50)
      .meta({ description: 'Stanzas of one client stream in the long run; beyond it, reading pauses.' }),
    'stanzas-burst': z
      .int()
      .positive()
      .prefault(1000)
      .meta({ description: 'Stanzas of one client stream at once before the rate counts.' }),
    'account-bytes-per-second': bytes()
      .prefault('200kB')
      .meta({ description: 'The same for all streams of one account together.' }),
    'account-bytes-burst': bytes()
      .prefault('8MB')
      .meta({ description: 'The same for all streams of one account together.' }),
    'account-stanzas-per-second': z
      .number()
      .positive()
      .prefault(200)
      .meta({ description: 'The same for all streams of one account together.' }),
    'account-stanzas-burst': z
      .int()
      .positive()
      .prefault(4000)
      .meta({ description: 'The same for all streams of one account together.' }),
    'address-bytes-per-second': bytes().prefault('5MB').meta({
      description: 'The same for all streams from one network address together. A whole office may share one.',
    }),
    'address-bytes-burst': bytes()
      .prefault('100MB')
      .meta({ description: 'The same for all streams from one network address together.' }),
    'address-stanzas-per-second': z
      .number()
      .positive()
      .prefault(5000)
      .meta({ description: 'The same for all streams from one network address together.' }),
    'address-stanzas-burst': z
      .int()
      .positive()
      .prefault(50_000)
      .meta({ description: 'The same for all streams from one network address together.' }),
    'address-connections-per-second': z.number().positive().prefault(50).meta({
      description: 'New client connections from one network address in the long run; beyond it, they wait.',
    }),
    'address-connections-burst': z
      .int()
      .positive()
      .prefault(500)
      .meta({ description: 'New client connections from one network address at once before the rate counts.' }),
    'connections-per-address': z
      .int()
      .positive()
      .prefault(500)
      .meta({ description: 'Client connections at a time from one network address. A whole office may share one.' }),
    'sessions-per-account': z
      .int()
      .positive()
      .prefault(20)
      .meta({ description: 'Resources of one account at a time.' }),
    'auth-attempts': z
      .int()
      .min(2)
      .prefault(5)
      .meta({ description: 'Failed attempts to authenticate before a stream is closed (RFC 6120 6.4.5).' }),
    'auth-failures-per-account': z.int().positive().prefault(10).meta({
      description:
        'Failed attempts on one account from one network address, after which further ones are refused for a while. Before that, answers are delayed.',
    }),
    'auth-failures-per-address': z
      .int()
      .positive()
      .prefault(100)
      .meta({ description: 'The same, on all accounts together from one network address.' }),
    'servers-connections-per-second': z.number().positive().prefault(20).meta({
      description:
        'New connections of other servers from one network address in the long run; beyond it, they are dropped.',
    }),
    'servers-connections-burst': z.int().positive().prefault(200).meta({
      description: 'New connections of other servers from one network address at once before the rate counts.',
    }),
    'servers-unproved': z.int().positive().prefault(1000).meta({
      description: 'Connections of other servers at a time that have not proved a name yet.',
    }),
    'servers-unproved-per-address': z.int().positive().prefault(50).meta({
      description: 'The same, from one network address; components count by themselves, all together.',
    }),
    'auth-timeout': duration()
      .prefault('30s')
      .meta({ description: 'How long a connection may take until it is authenticated.' }),
    'idle-timeout': duration().prefault('30m').meta({
      description:
        'A client stream that sent nothing for so long, not even whitespace, is closed; XEP-0478 tells clients.',
    }),
    'send-queue-bytes': bytes()
      .prefault('4MiB')
      .meta({ description: 'What may wait for a client that does not read, before its stream is closed.' }),
  })
  .prefault({})
  .meta({ description: 'What one client may ask of the server.' });
