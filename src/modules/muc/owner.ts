// What owners do (XEP-0045 10): configure a room, for the first time and later, and destroy it.
//
// - A new room is configured by its creator before anybody else comes in (10.1): by `reconfigure`, which unlocks it. Nothing is left of one
//   whose creator cancels, or leaves before.
// - 10.2, of the lists in the form: who is no owner any more is an admin, and who is no admin any more is a member.
import { isOver } from '../../core/hooks.ts';
import type { IqRequest } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { actorOf } from './actor.ts';
import { answerList, makeChanges, peopleOf } from './admin.ts';
import { type AffiliationChange, changeAffiliations } from './affiliations.ts';
import { destroyRoom } from './destroy.ts';
import { roomConfiguring, roomFields } from './hooks.ts';
import { reconfigure } from './reconfigure.ts';
import { type RoomContext, roomOf } from './request.ts';
import type { Room } from './room.ts';
import { type ExtraField, readSettings, type Submitted, settingsForm } from './settings.ts';

/** The form, or one of the lists (10.1.3, 10.2). @throws StanzaError `forbidden` for all but owners */
export async function answerOwner(request: IqRequest): Promise<Element> {
  const context = roomOf(request);
  checkOwner(context);
  if (request.payload.elements().length > 0) return answerList(request);
  const { room } = context;
  const settings = { config: room.config, admins: peopleOf(room, 'admin'), owners: peopleOf(room, 'owner') };
  return settingsForm(room.jid, settings, await extraFields(room));
}

/** @throws StanzaError `forbidden` for all but owners, and whatever is wrong with what they want */
export async function obeyOwner(request: IqRequest): Promise<void> {
  const context = roomOf(request);
  checkOwner(context);
  const { payload } = request;
  const destroy = payload.getChild('destroy', NS.mucOwner);
  if (destroy !== undefined) return destroyAsAsked(context, destroy);
  const form = payload.getChild('x', NS.dataForms);
  if (form !== undefined) return configure(context, form, request);
  return makeChanges(request);
}

function checkOwner({ affiliation }: RoomContext): void {
  if (affiliation !== 'owner') throw new StanzaError('forbidden', 'this is for owners');
}

async function extraFields(room: Room): Promise<readonly ExtraField<unknown>[]> {
  const fields: ExtraField<unknown>[] = [];
  await room.ports.hooks.collect(roomFields, { room, fields });
  return fields;
}

async function configure(context: RoomContext, form: Element, request: IqRequest): Promise<void> {
  const { room, asker } = context;
  if (form.attrs.type === 'cancel') {
    // 10.1.3: "If the room owner cancels the initial configuration, the service MUST destroy the room"
    if (room.isLocked) await destroyRoom(room, {});
    return;
  }
  const isInstant = form.attrs.type === 'submit' && form.elements().length === 0;
  const submitted: Submitted = isInstant
    ? { config: room.config, admins: undefined, owners: undefined }
    : readSettings(room.jid, room.config, form, await extraFields(room));
  isOver(await room.ports.hooks.gate(roomConfiguring, { room, by: asker, config: submitted.config }));
  const changes = changesOf(room, submitted);
  const tellOthers: (() => void)[] = [];
  if (changes.length > 0) tellOthers.push(await changeAffiliations(room, actorOf(context), changes));
  if (submitted.config !== room.config || room.isLocked) {
    tellOthers.push(await reconfigure(room, submitted.config, asker));
  }
  request.afterReply(() => {
    for (const tell of tellOthers) tell();
  });
}

/** What the full lists of a form change. Who is in both lists is an owner. */
function changesOf(room: Room, { admins, owners }: Submitted): AffiliationChange[] {
  const wanted = new Map<string, AffiliationChange>();
  const put = (jid: Jid, affiliation: AffiliationChange['affiliation']): void => {
    wanted.set(jid.bare, { jid: jid.withResource(''), affiliation });
  };
  if (admins !== undefined) {
    for (const jid of peopleOf(room, 'admin')) put(jid, 'member');
    for (const jid of admins) put(jid, 'admin');
  }
  if (owners !== undefined) {
    for (const jid of peopleOf(room, 'owner')) put(jid, 'admin');
    for (const jid of owners) put(jid, 'owner');
  } else for (const jid of peopleOf(room, 'owner')) wanted.delete(jid.bare);
  return [...wanted.values()].filter(
    ({ jid, affiliation }) => room.affiliations.get(jid.bare)?.affiliation !== affiliation,
  );
}

/** 10.9. */
async function destroyAsAsked({ room }: RoomContext, destroy: Element): Promise<void> {
  const { jid } = destroy.attrs;
  const venue = jid === undefined || jid === '' ? undefined : Jid.parse(jid);
  if (jid !== undefined && jid !== '' && venue === undefined) throw new StanzaError('jid-malformed');
  await destroyRoom(room, {
    venue,
    reason: destroy.getChildText('reason') || undefined,
    password: destroy.getChildText('password') || undefined,
  });
}
