// What belongs in the archive of a user (XEP-0313 6.1.1) or a room (6.1.2), as far as the message itself tells; hints of XEP-0334 are followed.
//
// Beyond what has a body, everything is kept that a device which was away has to know of to show the conversation as the others do.
// In those of users, of rooms nothing but invitations and private messages: what is said in a room is in the room's archive.
import { Element } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Message } from '../../xmpp/stanza.ts';

const anything: ReadonlySet<string> | undefined = undefined;
const names = (...list: string[]): ReadonlySet<string> => new Set(list);

/** Children that make a message worth keeping, by namespace: those of these names, or any. */
const content: ReadonlyMap<string | null, ReadonlySet<string> | undefined> = new Map([
  [null, names('body', 'subject')],
  // what is encrypted has no body, or one that says so
  [NS.encryption, names('encryption')],
  [NS.omemo, names('encrypted')],
  [NS.omemoSiacs, names('encrypted')],
  [NS.openpgp, names('openpgp')],
  [NS.pgp, names('x')],
  // what happened to a message
  [NS.receipts, anything],
  [NS.chatMarkers, anything],
  [NS.correction, names('replace')],
  [NS.reactions, names('reactions')],
  [NS.retraction, names('retract')],
  [NS.fastening, names('apply-to')],
  // files
  [NS.oob, names('x')],
  [NS.fileSharing, anything],
  [NS.references, names('reference')],
  // calls
  [NS.jingleMessage, anything],
  [NS.callInvites, anything],
  // XEP-0249
  [NS.conference, names('x')],
]);

/** Whether a message is to be kept, whoever the other party is. */
export function isWorthArchiving({ type, el: element }: Message): boolean {
  // XEP-0334 5: hints of an error are those of what it answers
  if (type === 'groupchat' || type === 'error') return false;
  const worth = worthOf(element);
  return worth === 'asked' || (worth === 'content' && type !== 'headline');
}

/** Whether a message to everybody in a room is to be kept (XEP-0313 6.1.2). */
export function isWorthKeepingInRoom(message: Element): boolean {
  return worthOf(message) !== undefined;
}

/** Why a message would be kept: it asks for it, or has something in it. */
function worthOf({ children }: Element): 'asked' | 'content' | undefined {
  let worth: 'asked' | 'content' | undefined;
  for (const child of children) {
    if (!(child instanceof Element)) continue;
    if (child.ns === NS.hints) {
      if (child.name === 'no-store' || child.name === 'no-permanent-store') return undefined;
      if (child.name === 'store') worth = 'asked';
    } else if (worth === undefined && isContentful(child)) worth = 'content';
  }
  return worth;
}

function isContentful(child: Element): boolean {
  if (child.ns === NS.mucUser) return child.getChild('invite') !== undefined || child.getChild('decline') !== undefined;
  if (!content.has(child.ns)) return false;
  return content.get(child.ns)?.has(child.name) ?? true;
}
