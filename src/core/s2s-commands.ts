// Administrative commands about other servers.
import { z } from 'zod';
import { prepareDomain } from '../xmpp/jid.ts';
import { table, time, unknownLine } from './admin-common.ts';
import { CommandError, defineCommand } from './commands.ts';

/** @throws CommandError */
function domainOf(text: string): string {
  const domain = prepareDomain(text);
  if (domain === undefined) throw new CommandError('bad-arguments', `"${text}" is not a domain`);
  return domain;
}

const s2sLs = defineCommand({
  name: 's2s ls',
  readOnly: true,
  summary: 'List the streams with other servers',
  args: z.strictObject({ domain: z.string().optional().describe('Only with this domain') }),
  async run(context, args) {
    const domain = args.domain === undefined ? undefined : domainOf(args.domain);
    const streams = await context.servers();
    const unknown = await context.unknown();
    return {
      streams: domain === undefined ? streams : streams.filter(({ domains }) => domains.includes(domain)),
      ...(domain === undefined ? {} : { domain }),
      ...(unknown.length > 0 ? { unknown } : {}),
    };
  },
  render: ({ domain = 'other servers', streams, unknown }) =>
    [
      streams.length === 0
        ? `there are no streams with ${domain}`
        : table(
            ['', 'DOMAIN', 'HOST', 'STATE', 'TLS', 'PROVED BY', 'ADDRESS', 'SINCE', 'SENT', 'RECEIVED', 'WAITING'],
            streams.map((stream) => [
              `${stream.direction}${stream.bidi ? '+' : ''}`,
              stream.domains.join(' ') || '?',
              stream.host ?? '?',
              stream.state,
              stream.tls ?? 'none',
              stream.proof ?? '-',
              stream.address ?? '-',
              time(stream.since),
              String(stream.sent),
              String(stream.received),
              String(stream.waiting),
            ]),
          ),
      ...unknownLine(unknown),
    ].join('\n'),
});

const s2sClose = defineCommand({
  name: 's2s close',
  summary: 'End the streams with another server; the next stanza opens new ones',
  args: z.strictObject({ domain: z.string().describe('The domain of the other server') }),
  async run(context, args) {
    const domain = domainOf(args.domain);
    const closed = await context.closeServer(domain);
    if (closed === 0) throw new CommandError('not-found', `there is no stream with ${domain}`);
    return { domain, closed };
  },
  render: ({ domain, closed }) => `${closed} ${closed === 1 ? 'stream' : 'streams'} with ${domain} closed`,
});

const s2sTest = defineCommand({
  name: 's2s test',
  readOnly: true,
  summary: 'Try to reach another server, and tell every step',
  args: z.strictObject({
    domain: z.string().describe('The domain of the other server'),
    host: z.string().optional().describe('The domain of ours that asks; the first one unless given'),
  }),
  async run(context, args) {
    const served = [...context.hosts, ...context.rooms, ...context.pubsub];
    const host = args.host === undefined ? served[0] : domainOf(args.host);
    if (host === undefined || !served.includes(host)) {
      throw new CommandError('not-found', `${host} is not served here; the domains are: ${served.join(', ')}`);
    }
    const domain = domainOf(args.domain);
    if (served.includes(domain)) {
      throw new CommandError('bad-arguments', `${domain} is served here: nothing leaves this server for it`);
    }
    return context.reachServer(domain, host);
  },
  render: ({ domain, host, reached, steps }) =>
    [
      // what went wrong on the way does not matter so much where there was another way
      ...steps.map(({ kind, text, ok, at }) => {
        const state = ok ? 'ok' : reached ? 'warn' : 'fail';
        return `${state.padEnd(6)}${kind}: ${text} (${at} ms)`;
      }),
      '',
      reached ? `${host} reaches ${domain}` : `${host} does not reach ${domain}`,
    ].join('\n'),
});

export const s2sCommands = [s2sLs, s2sClose, s2sTest] as const;
