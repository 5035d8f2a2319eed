// XEP-0313: Message Archive Management, of rooms; stanza ids (XEP-0359), search (XEP-0431), retraction (XEP-0424), and the history that is told
// to those who enter (XEP-0045 7.2.13). What is kept is said in mam/rules.ts, in which form in said.ts, who may read it in access.ts.
//
// What is said is kept unless the owner of the room has decided otherwise. What is between two occupants is never here: it takes another way.
//
// - XEP-0313 6.1.2: results are not limited to the times at which a reader was allowed to be in the room. What was said before a room was made
//   under this name is no part of its archive.
// - XEP-0313 4.1.1: `with` may be an occupant JID whose nick is worn or registered now; real JIDs of others are asked for by moderators.
// - XEP-0424: a retraction of another's message is passed on, as any message is, and changes nothing here.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { messageWithdrawn, serviceIn } from '../../core/events.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, iqGet, iqSet, on, provide } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { filterForm } from '../mam/filters.ts';
import { answerQuery, metadataOf, type QueryLimits, type Readable } from '../mam/query.ts';
import { refBy, retractedId } from '../mam/references.ts';
import { Retention, removeBefore } from '../mam/retention.ts';
import { isWorthKeepingInRoom } from '../mam/rules.ts';
import { stanzaIdElement, withoutStanzaIds } from '../mam/stanza-ids.ts';
import { archiveFeatures, Upkeep } from '../mam/upkeep.ts';
import { roomDirectory } from '../muc/directory.ts';
import { type RoomMessage, roomDestroyed, roomFields, roomHistory, roomInfo, roomMessage } from '../muc/hooks.ts';
import { type RoomContext, roomOf } from '../muc/request.ts';
import type { Room } from '../muc/room.ts';
import { chosen, type ExtraField } from '../muc/settings.ts';
import { checkReader, narrowed } from './access.ts';
import { historyOf, sayLater } from './history.ts';
import { sweepArchives } from './leftovers.ts';
import { paced } from './pace.ts';
import { Graves, roomArchive } from './retractions.ts';
import { isToRead, kept, shownTo, sightOf } from './said.ts';
import { keeping, settings, stores } from './settings.ts';

/** After a start, in milliseconds: whoever comes back is served first. */
const FIRST_AFTER = 2 * 60_000;
/** Characters of XML of a page, at most. */
const PAGE_LENGTH = 256 * 1024;
/** Messages of a page where none says how many it wants. */
const USUAL_PAGE = 100;

export default defineModule({
  xeps: ['XEP-0313 1.1.3', 'XEP-0359 0.7.0', 'XEP-0424 0.4.2', 'XEP-0431 0.2.0'],
  summary: 'Keeps what is said in rooms',
  hosts: ['rooms'],
  config: settings,
  stores,
  provides: [roomArchive],
  metrics: {
    stored: counter('Messages in rooms that were put into their archives'),
    queries: counter('Queries of the archives of rooms that were answered'),
    replayed: counter('Messages that were sent from the archives of rooms'),
    retracted: counter('Messages in the archives of rooms that were taken back'),
    pruned: counter('Messages of rooms removed because they were too old'),
  },

  setup({ host, config, stores, metrics, cluster, clock, every, background, find }) {
    const { messages } = stores;
    const limits: QueryLimits = {
      pageSize: config['page-size'],
      pageLength: PAGE_LENGTH,
      languages: config.search ? config.languages : [],
    };
    const graves = new Graves(messages, (message, by, place) => {
      metrics.retracted.inc();
      host.notify(messageWithdrawn, { message, by, place });
    });

    // every message to everybody comes through here: nothing asynchronous where the room is certainly ours
    function keep(event: RoomMessage): MaybePromise<void> {
      const ours = event.room.ports.ours();
      return isPromise(ours) ? ours.then(() => keepNow(event)) : keepNow(event);
    }

    /** @throws StorageUnavailable, which becomes `resource-constraint` */
    function keepNow(event: RoomMessage): void {
      const { room, occupant } = event;
      const said = withoutStanzaIds(event.element, room.jid.bare);
      event.element = said;
      if (!chosen(room.config, keeping) || !isWorthKeepingInRoom(said)) return;
      messages.begin();
      const sender = occupant?.bare ?? room.jid.bare;
      const { id, durable } = messages.append(room.jid.local, {
        with: sender,
        resource: isToRead(said) ? (occupant?.nick ?? room.jid.local) : '',
        xml: kept(event),
        ref: refBy(said, sender),
      });
      event.element = said.append(stanzaIdElement(room.jid.bare, id));
      event.stanzaId = id;
      event.durable = durable;
      sayLater(room, id);
      metrics.stored.inc();
      const retracted = occupant === undefined ? undefined : retractedId(said);
      if (occupant === undefined || retracted === undefined) return;
      const what = { by: said.attrs.id ?? id, at: room.ports.now() };
      // what it takes back is older, and on disk when this is
      const done = durable.then(
        () => graves.retractOwn(room, occupant.bare, retracted, what),
        () => {},
      );
      background(done, 'a retraction');
      event.durable = Promise.all([durable, done.catch(() => {})]);
    }

    const readable = (context: RoomContext): Readable => {
      const { room } = context;
      const sight = sightOf(context);
      return {
        store: messages,
        owner: room.jid.local,
        jid: room.jid,
        since: room.createdAt,
        narrow: (filter) => narrowed(context, sight, filter),
        shown: (xml) => shownTo(sight, xml),
      };
    };

    async function query(request: IqRequest): Promise<Element> {
      const context = roomOf(request);
      const { room, asker } = context;
      // messages go to devices, as the answer does after them
      if (asker.isBare) throw new StanzaError('feature-not-implemented', 'archives are read by devices');
      checkReader(context);
      const archive = readable(context);
      request.release();
      const result = await answerQuery(archive, request.payload, asker, limits);
      metrics.queries.inc();
      metrics.replayed.inc(result.messages.length);
      // each in its turn, and the answer after them
      await Promise.all(
        result.messages.map(({ el: message }) =>
          room.ports.multicast(message.with({ to: undefined }), room.jid, [asker]),
        ),
      );
      return result.fin;
    }

    function metadata(request: IqRequest): Promise<Element> {
      const context = roomOf(request);
      checkReader(context);
      const archive = readable(context);
      request.release();
      return metadataOf(archive);
    }

    function form(context: RoomContext): Element {
      checkReader(context);
      return el('query', NS.mam, undefined, filterForm(limits));
    }

    const remove = (room: Room): Promise<unknown> =>
      removeBefore(messages, room.jid.local, clock.now() + 1, () => !upkeep.isStopped);
    const retention = new Retention({ messages, retention: stores.retention, default: config.retention });
    const upkeep = new Upkeep({
      cluster,
      every,
      name: `room-archive ${host.domain}`,
      async work(goesOn) {
        const rooms = find(roomDirectory);
        if (rooms !== undefined) metrics.pruned.inc(await sweepArchives(messages, rooms, clock, goesOn));
        metrics.pruned.inc(await retention.prune(clock.now(), goesOn));
      },
    });
    const cancelFirst = clock.after(FIRST_AFTER, () => background(upkeep.run(), 'looking what is left of rooms'));
    const features = archiveFeatures(config.search);
    return {
      handlers: [
        provide(roomArchive, graves),
        on(serviceIn, { phase: 'check' }, (transit) => paced(transit, clock, Math.min(USUAL_PAGE, limits.pageSize))),
        on(roomMessage, { phase: 'archive' }, keep),
        on(roomHistory, async ({ room, request, messages: told }) => {
          told.push(...(await historyOf(messages, room, request)));
        }),
        on(roomInfo, ({ context, features: all }) => {
          if (chosen(context.room.config, keeping)) all.push(...features);
        }),
        on(roomFields, ({ fields }) => void fields.push(keeping as ExtraField<unknown>)),
        on(roomDestroyed, ({ room }) => background(remove(room), 'removing what was said in a room')),
        iqSet('room', NS.mam, 'query', query),
        iqGet('room', NS.mam, 'query', (request) => form(roomOf(request))),
        iqGet('room', NS.mam, 'metadata', metadata),
      ],
      stop() {
        upkeep.stop();
        cancelFirst();
      },
    };
  },
});
