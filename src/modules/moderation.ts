// XEP-0425: Moderated Message Retraction. A moderator has something taken back that somebody said in a room: all who are in it are told, by the
// room, and the archive has a tombstone in its place (room-archive/retractions.ts). The room is asked in the form of version 0.3.0 of
// the specification or in that of 0.2.1, and speaks in both, in one message.
//
// - 3: admins and owners may do it without being in the room; then nobody learns which of them it was. So may who moderates the whole server
//   by role.
// - 6: what is no message to people (with neither body nor subject) is not moderated, nor what was taken back already.
// - 6: who claims in a message that something was moderated is refused, as every client would have to see through it.
import { defineModule, iqSet, on } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { isAtLeast } from './muc/associations.ts';
import { roomInfo, roomMessage } from './muc/hooks.ts';
import { speakAsRoom } from './muc/message.ts';
import { type RoomContext, roomOf } from './muc/request.ts';
import { occupantIds } from './occupant-id.ts';
import { type RoomArchive, roomArchive } from './room-archive/retractions.ts';

/** Characters of a reason. */
const LONGEST = 1000;

export default defineModule({
  xeps: ['XEP-0425 0.3.0'],
  summary: 'Lets moderators take back what others said in a room',
  hosts: ['rooms'],

  setup({ find, host }) {
    /** @throws StanzaError where the archive is switched off: there is nothing to take back */
    function archiveOf(): RoomArchive {
      const archive = find(roomArchive);
      if (archive === undefined) throw new StanzaError('service-unavailable');
      return archive;
    }

    async function checkModerator({ room, asker, occupant, affiliation }: RoomContext): Promise<void> {
      if (room.isLocked && affiliation !== 'owner')
        throw new StanzaError('item-not-found', 'there is no such room yet');
      const isModerator = occupant === undefined ? isAtLeast(affiliation, 'admin') : occupant.role === 'moderator';
      if (isModerator || (await host.may(asker, 'moderate'))) return;
      throw new StanzaError('forbidden', 'this takes a moderator');
    }

    async function moderate(context: RoomContext, id: string | undefined, request: Element): Promise<void> {
      const { room } = context;
      const archive = archiveOf();
      await checkModerator(context);
      if (id === undefined || id === '') throw new StanzaError('bad-request', 'which message?');
      const message = await archive.find(room, id);
      if (message === undefined) throw new StanzaError('item-not-found', 'there is no such message');
      if (message.getChild('body') === undefined && message.getChild('subject') === undefined) {
        throw new StanzaError('not-acceptable', 'this is no message to people');
      }
      const reason = request.getChildText('reason')?.trim().slice(0, LONGEST);
      const { ports } = room;
      const by = { by: ports.newId(), at: ports.now() };
      await archive.retract(room, id, { ...by, more: [moderatedBy(context), ...reasonOf(reason, NS.retraction)] });
      await speakAsRoom(room, announcement(context, id, by.by, reason));
    }

    function moderatedBy({ room, occupant }: RoomContext): Element {
      if (occupant === undefined) return el('moderated', NS.moderation);
      const id = find(occupantIds)?.of(room, occupant.bare);
      const known = id === undefined ? [] : [el('occupant-id', NS.occupantId, { id })];
      return el('moderated', NS.moderation, { by: occupant.jid.full }, ...known);
    }

    /** 3.1: what everybody is told, and the archive keeps. */
    function announcement(context: RoomContext, id: string, own: string, reason: string | undefined): Element {
      const before = el(
        'moderated',
        NS.moderation0,
        // 0.2.1 wants one in any case
        { by: context.occupant?.jid.full ?? context.room.jid.full },
        el('retract', NS.retraction0),
        ...reasonOf(reason, NS.moderation0),
      );
      return el(
        'message',
        null,
        { id: own },
        el('retract', NS.retraction, { id }, moderatedBy(context), ...reasonOf(reason, NS.retraction)),
        el('apply-to', NS.fastening, { id }, before),
      );
    }

    return {
      handlers: [
        on(roomInfo, ({ features }) => {
          if (find(roomArchive) !== undefined) features.push(NS.moderation, NS.moderation0);
        }),
        on(roomMessage, { phase: 'check' }, ({ occupant, element }) =>
          occupant !== undefined && claimsModeration(element)
            ? new StanzaError('not-acceptable', 'only the room says what was moderated')
            : undefined,
        ),
        iqSet('room', NS.moderation, 'moderate', (request) => {
          if (request.payload.getChild('retract', NS.retraction) === undefined) throw unknownAction();
          return moderate(roomOf(request), request.payload.attrs.id, request.payload);
        }),
        iqSet('room', NS.fastening, 'apply-to', (request) => {
          const wanted = request.payload.getChild('moderate', NS.moderation0);
          if (wanted?.getChild('retract', NS.retraction0) === undefined) throw unknownAction();
          return moderate(roomOf(request), request.payload.attrs.id, wanted);
        }),
      ],
    };
  },
});

function claimsModeration(message: Element): boolean {
  const now = message.getChild('retract', NS.retraction);
  const before = message.getChild('apply-to', NS.fastening);
  return (
    now?.getChild('moderated', NS.moderation) !== undefined ||
    before?.getChild('moderated', NS.moderation0) !== undefined
  );
}

const reasonOf = (reason: string | undefined, ns: string): Element[] =>
  reason === undefined || reason === '' ? [] : [el('reason', ns, undefined, reason)];

const unknownAction = (): StanzaError =>
  new StanzaError('feature-not-implemented', 'messages can be retracted, and nothing else');
