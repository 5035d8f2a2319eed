// XEP-0363: HTTP File Upload, with purposes. Files of the people of a domain, by a service below it; what is HTTP of it is in routes.ts, who
// gets a slot in slots.ts, which files there are in shelf.ts, where they are in disk.ts and s3.ts.
//
// - 4 SHOULD: names are kept, but for what cannot stand in a path, and the middle of very long ones.
// - 6: an account may have what its quota allows; where that is used up, `<retry/>` says when enough of it has expired.
// - 9.1: what is read runs nothing, wherever it is opened; a domain of its own for files is possible (`web: { url: ... }`), and not needed.
// - Files are for the people of the domain whose role says so: by default those with an account, not guests. Components and people of other
//   servers get no slots.
import { join } from 'node:path';
import { accountRemoving } from '../../core/events.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, iqGet, on, provide } from '../../core/module.ts';
import { el } from '../../xml/element.ts';
import { resultElement, textField } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { fileCommands } from './commands.ts';
import { Disk } from './disk.ts';
import { Ids, readSecret } from './ids.ts';
import { Library, pathOf } from './library.ts';
import { LEAVE, uploadRoutes } from './routes.ts';
import { S3 } from './s3.ts';
import { isSameFolder } from './sameness.ts';
import { uploads } from './service.ts';
import { purposes, Shelf, stores } from './shelf.ts';
import { Slots } from './slots.ts';

const ELSEWHERE =
  'other nodes keep files in another folder: let all share one ("upload.folder"), or use S3 ("upload.s3"); no files are taken here';
/** How often what has expired is looked for, in milliseconds; it is not served from the moment on at which it has. */
const SWEEP = 3_600_000;

export default defineModule({
  xeps: ['XEP-0363 1.2.0'],
  summary: 'Lets people send files',
  hosts: ['upload'],
  stores,
  provides: [uploads],
  metrics: {
    slots: counter('Slots that were given to people who want to send a file'),
    files: counter('Files that came'),
    received: counter('Bytes of files that came'),
    served: counter('Bytes of files that were asked for'),
    removed: counter('Files that were removed because they had expired, or never came'),
  },

  async setup({ host, stores: opened, metrics, cluster, web, clock, log, every, background, signal }) {
    const { parent } = host;
    if (parent === undefined) throw new Error(`${host.domain} is a service of no domain`);
    const { upload: settings } = host.settings;
    const folder = join(settings.folder!, parent.domain);
    const s3 = settings.s3 === null ? undefined : new S3({ settings: settings.s3, host: parent.domain, clock });
    const depot = s3 ?? new Disk({ folder, keepFree: settings['keep-free'], clock });
    const ids = new Ids(await readSecret(opened.secrets));
    const shelf = new Shelf(opened, depot, clock);
    const slots = new Slots({ shelf, depot, ids, clock, settings });
    const library = new Library({
      shelf,
      ids,
      domain: parent.domain,
      now: () => clock.now(),
      url: (path) => web.url(path),
    });
    let where: Promise<boolean> | undefined;
    let isOver = false;

    const isOurs = ({ iq, transit }: IqRequest): boolean =>
      iq.from.domain === parent.domain && iq.from.local !== '' && transit.origin.kind === 'client';

    async function giveSlot(request: IqRequest) {
      const { payload, iq } = request;
      if (!isOurs(request) || !(await host.roles.may(iq.from, 'upload'))) {
        throw new StanzaError('forbidden', 'you may not send files from here', { beside: payload });
      }
      if (web.url('/') === undefined)
        throw new StanzaError('service-unavailable', 'there is no web server', { beside: payload });
      where ??= lookWhere();
      const isRight = await where.catch((err: unknown) => {
        log.error({ err, folder }, 'files cannot be kept');
        where = undefined;
        return false;
      });
      if (!isRight) throw new StanzaError('resource-constraint', 'files cannot be kept just now', { beside: payload });
      const { id, row } = await slots.give(iq.from.local, payload);
      metrics.slots.inc();
      const get = web.url(pathOf(id, row.name));
      const put = `${get}?${LEAVE}=${ids.leave(id, row.until)}`;
      return el('slot', NS.upload, undefined, el('put', NS.upload, { url: put }), el('get', NS.upload, { url: get }));
    }

    async function sweep(): Promise<void> {
      const goesOn = (): boolean => !isOver && cluster.owner(`upload ${host.domain}`) === cluster.self;
      const before = await shelf.total();
      let sum = 0;
      for await (const user of shelf.people()) {
        if (!goesOn()) return;
        const { removed, bytes } = await shelf.sweep(user);
        metrics.removed.inc(removed);
        sum += bytes;
      }
      await shelf.recount(sum, before);
      // what is unknown may be known to the database that the folder had before
      if ((await opened.secrets.get('adopted')) !== undefined) return;
      await depot.tidy(async (id) => (await shelf.find(id)) !== undefined, goesOn);
    }

    /** Whether files are where the other nodes look for them. */
    async function lookWhere(): Promise<boolean> {
      if (s3 !== undefined) return true;
      const hasOthers = (): boolean => cluster.nodes.size > 1;
      const isSame = await isSameFolder({ folder, marks: opened.secrets, hasOthers, clock, signal });
      if (!isSame) log.error({ folder }, ELSEWHERE);
      return isSame;
    }
    // a folder is not made before somebody wants to put something into it, unless others do so already
    if (cluster.nodes.size > 1) {
      where = lookWhere();
      background(where, 'looking where files are');
    }
    every(SWEEP, 'removal of files that have expired', sweep);

    const types = settings.permanent ? purposes : purposes.filter((purpose) => purpose !== 'permanent');
    const limits = { formType: NS.upload, fields: { 'max-file-size': textField('Largest file, in bytes') } };
    return {
      features: { server: [NS.upload, ...types.map((purpose) => `${NS.uploadPurpose}#${purpose}`)] },
      info: [resultElement(limits, { 'max-file-size': String(settings['max-file-size']) })],
      handlers: [
        provide(uploads, library),
        iqGet('host', NS.upload, 'request', giveSlot),
        on(accountRemoving, ({ user }) => shelf.removeAll(user)),
      ],
      commands: fileCommands(library, isOurs),
      routes: uploadRoutes({
        shelf,
        depot,
        ids,
        clock,
        log,
        received(bytes) {
          metrics.files.inc();
          metrics.received.inc(bytes);
        },
        served: (bytes) => metrics.served.inc(bytes),
      }),
      stop() {
        isOver = true;
      },
    };
  },
});
