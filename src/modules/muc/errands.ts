// Messages to the room itself that are not for everybody in it (XEP-0045 7.8.2, 7.13, 8.6, 9.9): each has something in it that the room does.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Element } from '../../xml/element.ts';
import { findForm, formTypeOf } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { decline, invite } from './invitations.ts';
import { takeRegistrationAnswer } from './registration.ts';
import type { RoomContext } from './request.ts';
import { takeVoiceForm } from './voice.ts';

/**
 * Does what a message of type `normal` is about.
 * @throws StanzaError `bad-request` where it is nothing that a room does, and what the things it does are refused with
 */
export function doErrand(context: RoomContext, message: Element): MaybePromise<void> {
  const x = message.getChild('x', NS.mucUser);
  if (x?.getChild('invite') !== undefined) return invite(context, message, x);
  if (x?.getChild('decline') !== undefined) return decline(context, message, x);
  const form = findForm(message);
  const formType = form && formTypeOf(form);
  // 8.6: whoever closes the form of a request skips it
  if (form?.attrs.type === 'cancel') return;
  if (form !== undefined && formType === NS.mucRequest) return takeVoiceForm(context, form);
  if (form !== undefined && formType === NS.mucRegister) return takeRegistrationAnswer(context, form);
  throw new StanzaError('bad-request', 'messages to a room are of type groupchat');
}
