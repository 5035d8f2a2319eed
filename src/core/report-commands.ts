// The administrative commands for the queue of reports (XEP-0377).
import { z } from 'zod';
import { domain, hostOf, table, time } from './admin-common.ts';
import type { AdminReport, AdminReports } from './admin-services.ts';
import { type AdminContext, type AnyCommand, CommandError, defineCommand } from './commands.ts';

async function find(
  context: AdminContext,
  given: string | undefined,
): Promise<{ readonly host: string; readonly reports: AdminReports }> {
  const host = hostOf(context, given);
  const reports = await context.reportsOf(host);
  if (reports === undefined) throw new CommandError('not-found', `${host} takes no reports: the module is off`);
  return { host, reports };
}

const id = z.string().min(1).describe('The id of the report, as "report ls" shows it');

/** As it is told: with times as text. */
function described({ at, closed, ...report }: AdminReport) {
  return {
    ...report,
    at: time(at),
    state: closed === undefined ? 'open' : 'closed',
    ...(closed === undefined ? {} : { closed: { ...closed, at: time(closed.at) } }),
  };
}

const short = (reason: string): string => reason.replace(/^urn:xmpp:reporting:/, '');

const reportLs = defineCommand({
  name: 'report ls',
  readOnly: true,
  summary: 'List what people have said of those they blocked, the oldest first',
  args: z.strictObject({
    host: domain,
    state: z.enum(['open', 'closed']).prefault('open').describe('Which of them'),
  }),
  async run(context, args) {
    const { reports } = await find(context, args.host);
    const all = await reports.list(args.state);
    return {
      reports: all.map((report) => ({
        ...described(report),
        messages: report.messages.length,
        texts: report.texts.map(({ text }) => text),
      })),
    };
  },
  render: ({ reports }) =>
    reports.length === 0
      ? 'there are no reports'
      : table(
          ['ID', 'WHEN', 'REPORTED', 'REASON', 'BY', 'MESSAGES', 'TEXT'],
          reports.map((one) => [
            one.id,
            one.at,
            one.reported,
            short(one.reason),
            one.reporter,
            String(one.messages),
            (one.texts[0] ?? '').replace(/\s+/g, ' ').slice(0, 60),
          ]),
        ),
});

const reportShow = defineCommand({
  name: 'report show',
  readOnly: true,
  summary: 'Show a report, with the messages it is about',
  args: z.strictObject({ id, host: domain }),
  async run(context, args) {
    const { reports } = await find(context, args.host);
    const report = await reports.get(args.id);
    if (report === undefined) throw new CommandError('not-found', `there is no report ${args.id}`);
    return described(report);
  },
  render: (report) =>
    [
      `report    ${report.id} (${report.state})`,
      `when      ${report.at}${report.again > 0 ? `, and ${report.again} times again` : ''}`,
      `reported  ${report.reported}`,
      `reason    ${short(report.reason)}`,
      `by        ${report.reporter}`,
      `may go    ${[...(report.mayTellOrigin ? ['to the server it came from'] : []), ...(report.mayTellOthers ? ['to third parties'] : [])].join(', ') || 'nowhere'}`,
      ...report.texts.map(({ text }) => `text      ${text}`),
      ...report.messages.map((xml) => `message   ${xml}`),
      ...(report.missing > 0 ? [`missing   ${report.missing} messages that are gone, or of somebody else`] : []),
      ...(report.closed === undefined
        ? []
        : [`closed    ${report.closed.at}${report.closed.note ? `: ${report.closed.note}` : ''}`]),
    ].join('\n'),
});

const reportClose = defineCommand({
  name: 'report close',
  summary: 'Put a report away: something was done about it, or nothing has to be',
  args: z.strictObject({ id, note: z.string().trim().max(1000).optional().describe('What was done'), host: domain }),
  async run(context, args) {
    const { reports } = await find(context, args.host);
    if (!(await reports.close(args.id, args.note))) {
      throw new CommandError('not-found', `there is no open report ${args.id}`);
    }
    return { id: args.id, state: 'closed' };
  },
  render: (report) => `report ${report.id} is closed`,
});

export const reportCommands: readonly AnyCommand[] = [reportLs, reportShow, reportClose];
