// What comes to a room, and which section of XEP-0045 it is about.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Life } from '../../core/transit.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Iq, Stanza } from '../../xmpp/stanza.ts';
import { ask, bringBack } from './between.ts';
import { takeAnswer, takeBounce } from './bounces.ts';
import { checkNick, enter, notInside } from './enter.ts';
import { doErrand } from './errands.ts';
import { exit, removeGhost } from './exit.ts';
import { tellDevice } from './fan-out.ts';
import { answer, contextOf } from './iq.ts';
import { areTwo, isBefore } from './lives.ts';
import { speak } from './message.ts';
import { changeNick, changePresence } from './nick-change.ts';
import type { Device } from './occupant.ts';
import { ownPresence, presenceFor } from './presence.ts';
import { whisper } from './private-message.ts';
import type { Room } from './room.ts';

/** What a room needs of who brought it something. */
export interface Bringer {
  /** What the sender's acknowledgement has to wait for. */
  keep(work: Promise<unknown>): void;
  /** Answers with an error, later than by throwing it. */
  refuse(error: unknown): void;
  /** Finds out whether a device is gone. Where this server speaks instead of it. */
  readonly look?: ((device: Jid) => void) | undefined;
  /** The session that says it, or that it is said of, where that is known. */
  readonly life?: Life | undefined;
  /** Whether a session of this server's people has its address still, or again. */
  readonly isThere?: (device: Jid, life: Life) => MaybePromise<boolean>;
}

/**
 * Does what a stanza is about.
 * @throws StanzaError to be answered to its sender
 */
export function arrive(room: Room, stanza: Stanza, bringer: Bringer): MaybePromise<void> {
  const { life } = bringer;
  const former = life === undefined ? undefined : room.occupantOf(stanza.from)?.device(stanza.from);
  if (life !== undefined && areTwo(former?.life, life)) return meet(room, stanza, bringer, former!, life);
  return deal(room, stanza, bringer);
}

/**
 * Something of one session, while a device is in the room by another one of the same address: the one before, which is gone then, or the one
 * after it. What was said of a session may come later than the next one.
 */
function meet(room: Room, stanza: Stanza, bringer: Bringer, device: Device, life: Life): MaybePromise<void> {
  const isLate = isBefore(life, device.life!);
  const { kind, from, el } = stanza;
  if (kind === 'presence' && isEntering(el)) {
    // it takes the place of the one before at once, and nobody sees it; a clock that was set does not keep anybody out
    if (!isLate) return deal(room, stanza, bringer);
    return andThen(bringer.isThere?.(from, life) ?? false, (isThere) =>
      isThere ? deal(room, stanza, bringer) : undefined,
    );
  }
  if (isLate) return kind === 'presence' ? undefined : deal(room, stanza, bringer);
  // who has not entered is not in the room because the one before was
  removeGhost(room, device, true);
  if (!room.isOver) return deal(room, stanza, bringer);
  if (kind !== 'presence') throw new StanzaError('item-not-found', 'there is no such room');
}

function deal(room: Room, stanza: Stanza, bringer: Bringer): MaybePromise<void> {
  switch (stanza.kind) {
    case 'presence':
      return presence(room, stanza.from, stanza.to.resource, stanza.el, bringer);
    case 'message':
      return message(room, stanza.from, stanza.to.resource, stanza.el, bringer);
    case 'iq':
      return request(room, stanza, bringer);
  }
}

/** Whether presence is meant to enter a room (7.2.1). */
export function isEntering(presence: Element): boolean {
  return presence.attrs.type === undefined && presence.getChild('x', NS.muc) !== undefined;
}

function presence(room: Room, from: Jid, nick: string, said: Element, { look, life }: Bringer): MaybePromise<void> {
  switch (said.attrs.type) {
    case undefined:
      return available(room, from, nick, said, life);
    case 'unavailable':
      return exit(room, from, said);
    case 'error':
      return takeBounce(room, from, nick, said, look);
    case 'probe':
      return probe(room, from, nick);
    default:
      // 16.2: neither a way in nor out
      return;
  }
}

function available(room: Room, from: Jid, nick: string, said: Element, life: Life | undefined): MaybePromise<void> {
  checkNick(room.jid, nick);
  const occupant = room.occupantOf(from);
  const device = occupant?.device(from);
  const isJoin = isEntering(said);
  if (occupant === undefined || device === undefined) {
    if (isJoin) return enter(room, from, nick, said, life);
    room.ports.send(notInside(room.jid, nick), room.jid.withResource(nick), from);
    return;
  }
  if (nick !== occupant.nick) return changeNick(room, occupant, device, nick, said);
  if (isJoin) return enter(room, from, nick, said, life);
  return changePresence({ room, occupant, device, presence: said });
}

/** 16.3: an occupant, or its server, may ask for presence again; nobody else is told anything. */
function probe(room: Room, from: Jid, nick: string): void {
  const occupant = room.occupantOf(from);
  const target = room.occupants.get(nick);
  if (occupant === undefined || target === undefined) return;
  if (target !== occupant && !target.isShown) return;
  const device = occupant.device(from)!;
  const seen =
    target === occupant ? ownPresence(room, target, device) : presenceFor(room, target, room.showsJidsTo(occupant));
  tellDevice(room, seen, target.jid, from);
}

function message(room: Room, from: Jid, nick: string, said: Element, { keep, look }: Bringer): MaybePromise<void> {
  if (said.attrs.type === 'error') return takeBounce(room, from, nick, said, look);
  // 16.2
  if (room.isLocked && room.occupantOf(from) === undefined) {
    throw new StanzaError('item-not-found', 'there is no such room yet');
  }
  if (nick !== '') return whisper(room, from, nick, said);
  if (said.attrs.type === 'groupchat') return speak(room, from, said, keep);
  return doErrand(contextOf(room, from), said);
}

function request(room: Room, iq: Iq, { refuse }: Bringer): MaybePromise<void> {
  const isRequest = iq.type === 'get' || iq.type === 'set';
  if (iq.to.isBare) return isRequest ? answer(room, iq, refuse) : takeAnswer(room, iq.from, iq.el);
  return isRequest ? ask(room, iq) : bringBack(room, iq);
}
