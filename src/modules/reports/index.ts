// XEP-0377: Blocking Command Reports. Who blocks somebody may say why; moderators find it in a queue, with the messages it is about.
//
// - 4: the form of version 0.2 (`urn:xmpp:reporting:0`) is understood, too, and a report beside the one address that is blocked (slixmpp 1.8).
// - 4.1 MAY: nothing is passed on to other servers or services. What reporters agree to is in the queue, for moderators to act on.
// - 5: a report that says nothing, or too much, is left out, and the address is blocked all the same.
// - 5 SHOULD (of clients): messages of others than whom was blocked are left out.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { andThen, isPromise } from '../../base/maybe.ts';
import type { AdminReport, AdminReports } from '../../core/admin-services.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, defineService, on, provide } from '../../core/module.ts';
import { kv, map } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { messageOf } from '../../xmpp/stanza.ts';
import { blockReported } from '../blocking/index.ts';
import { findMessages } from './messages.ts';
import { type Report, readReport } from './reading.ts';

export const reports = defineService<AdminReports>('reports');

const DAY = 86_400_000;
/** Between two notices to moderators, in milliseconds. */
const PAUSE = 60_000;
/** Closed reports that are kept. */
const MOST_CLOSED = 1000;

type State = 'open' | 'closed';

export default defineModule({
  xeps: ['XEP-0377 0.4.1'],
  summary: 'Keeps what people say of those they block, for moderators to read',
  provides: [reports],
  config: z.strictObject({
    'per-day': z.int().min(0).prefault(20).meta({ description: 'Reports of one account in a day; more are left out.' }),
    'max-open': z
      .int()
      .min(1)
      .prefault(1000)
      .meta({ description: 'Open reports of a host; while there are so many, further ones are left out.' }),
    notify: z
      .boolean()
      .prefault(true)
      .meta({ description: 'Whether moderators who are connected are told of a new report.' }),
  }),
  stores: {
    /** Under the owners `open` and `closed`, by id. */
    queue: map<AdminReport>(),
    /** By account: how many today. */
    counts: kv<{ readonly day: number; readonly count: number }>(),
  },
  metrics: {
    taken: counter('Reports that were put into the queue'),
    left: counter('Reports that were left out, because there were too many'),
  },

  setup({ host, config, stores, metrics, admin, router, cluster, clock, log, background }) {
    if (host.settings.authentication === 'anonymous') return {};
    const topic = `report ${host.domain}`;
    let noticed = Number.NEGATIVE_INFINITY;

    const service: AdminReports = {
      list: (state) => andThen(stores.queue.all(state), (all) => [...all.values()].sort((a, b) => a.at - b.at)),
      async get(id) {
        return (await stores.queue.get('open', id)) ?? (await stores.queue.get('closed', id));
      },
      async close(id, note) {
        const report = await stores.queue.get('open', id);
        if (report === undefined) return false;
        const closed = { at: clock.now(), ...(note === undefined ? {} : { note }) };
        // where this is cut short it is in both, and open
        await stores.queue.set('closed', id, { ...report, closed });
        await stores.queue.set('open', id, undefined);
        const old = await service.list('closed');
        for (const one of old.slice(0, Math.max(0, old.length - MOST_CLOSED))) {
          await stores.queue.set('closed', one.id, undefined);
        }
        return true;
      },
    };

    /** Whether somebody may report once more today. */
    async function mayReport(user: string): Promise<boolean> {
      const day = Math.floor(clock.now() / DAY);
      let may = false;
      await stores.counts.update(user, (old) => {
        const count = old?.day === day ? old.count : 0;
        may = count < config['per-day'];
        return may ? { day, count: count + 1 } : old;
      });
      return may;
    }

    async function take(reporter: Jid, blocked: Jid, report: Report): Promise<void> {
      if (!(await mayReport(reporter.local))) return metrics.left.inc();
      const open = await stores.queue.all('open' satisfies State);
      const same = [...open.values()].find(
        (one) => one.reporter === reporter.bare && one.reported === blocked.full && one.reason === report.reason,
      );
      if (same === undefined && open.size >= config['max-open']) {
        log.warn({ open: open.size }, 'there are too many open reports: a new one is left out');
        return metrics.left.inc();
      }
      const messages = await findMessages(admin, reporter, blocked, report);
      const fresh: AdminReport = {
        id: same?.id ?? randomBytes(6).toString('hex'),
        at: same?.at ?? clock.now(),
        reporter: reporter.bare,
        reported: blocked.full,
        reason: report.reason,
        texts: report.texts,
        messages,
        missing: report.stanzas.length - messages.length,
        mayTellOrigin: report.mayTellOrigin,
        mayTellOthers: report.mayTellOthers,
        again: same === undefined ? 0 : same.again + 1,
      };
      await stores.queue.set('open', fresh.id, fresh);
      metrics.taken.inc();
      if (same === undefined && config.notify) notice(fresh);
    }

    /** To all who moderate and are connected; a flood of reports is told once a minute. */
    function notice({ id, reporter, reported, reason }: AdminReport): void {
      if (clock.now() < noticed + PAUSE) return;
      noticed = clock.now();
      const text = `${reporter} has reported ${reported}: ${reason.replace(/^urn:xmpp:reporting:/, '')} (report ${id})`;
      cluster.publish(topic, text);
      background(tellModerators(text), 'a notice of a report');
      // those of other domains, by the settings
      for (const other of host.settings.admins) {
        const to = Jid.parse(other);
        if (to !== undefined && to.domain !== host.domain)
          void router.tell(messageOf(noticeElement(text, to), host.jid, to), host);
      }
    }

    async function tellModerators(text: string): Promise<void> {
      for (const session of router.sessionsOf(host)) {
        if (!session.available) continue;
        const may = host.may(session.jid, 'moderate');
        if (!(isPromise(may) ? await may : may)) continue;
        if (!session.isOver) session.deliver(messageOf(noticeElement(text, session.jid), host.jid, session.jid));
      }
    }

    const noticeElement = (text: string, to: Jid): Element => {
      const attrs = { from: host.domain, to: to.full, type: 'headline', id: randomBytes(6).toString('base64url') };
      return el(
        'message',
        null,
        attrs,
        el('subject', null, undefined, 'A new report'),
        el('body', null, undefined, text),
      );
    };

    return {
      features: { server: [NS.reporting] },
      handlers: [
        provide(reports, service),
        on(blockReported, async ({ reporter, blocked, reports: said }) => {
          for (const element of said) {
            const report = readReport(element);
            if (report === undefined) continue;
            // who blocks is not refused because of what they say
            await take(reporter, blocked, report).catch((error: unknown) =>
              log.error({ err: error }, 'a report could not be kept'),
            );
          }
        }),
      ],
      stop: cluster.subscribe(topic, (text) => background(tellModerators(String(text)), 'a notice of a report')),
    };
  },
});
