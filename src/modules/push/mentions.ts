// Whether somebody is meant by what is said in a room: by XEP-0372, by an answer (XEP-0461), or by the nick in the text (XEP-0492 4).
import type { Element } from '../../xml/element.ts';
import type { BareJid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** Who may be meant. */
export interface Meant {
  readonly bare: BareJid;
  readonly room: BareJid;
  /** What they are called there, where that is known. */
  readonly nick: string | undefined;
}

export function isMeant(message: Element, { bare, room, nick }: Meant): boolean {
  const occupant = nick === undefined ? undefined : `${room}/${nick}`;
  for (const { attrs } of message.getChildren('reference', NS.references)) {
    if (attrs.type === 'mention' && (isUriOf(attrs.uri, bare) || isUriOf(attrs.uri, occupant))) return true;
  }
  if (occupant !== undefined && message.getChild('reply', NS.replies)?.attrs.to === occupant) return true;
  return nick !== undefined && hasWord(message.getChildText('body') ?? '', nick);
}

function isUriOf(uri: string | undefined, address: string | undefined): boolean {
  if (uri === undefined || address === undefined || uri.slice(0, 5).toLowerCase() !== 'xmpp:') return false;
  const path = uri.slice(5).split(/[?#]/, 1)[0]!;
  if (path === address) return true;
  try {
    return decodeURIComponent(path) === address;
  } catch {
    return false;
  }
}

const inWord = /[\p{L}\p{N}]/u;

/** Whether a text has a name in it that is not part of a longer word. */
function hasWord(text: string, name: string): boolean {
  const [where, what] = [text.toLowerCase(), name.toLowerCase()];
  if (what === '') return false;
  for (let at = where.indexOf(what); at >= 0; at = where.indexOf(what, at + 1)) {
    if (!inWord.test(where.charAt(at - 1)) && !inWord.test(where.charAt(at + what.length))) return true;
  }
  return false;
}
