// What a search finds a message by (XEP-0431): its subject and its body, unless those are encrypted or stand in for something else.
import type { ReadSearchable } from '../../storage/specs.ts';
import { parseElement } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import { correctedId, retractedId, type StoredSender } from './references.ts';

/** Where there is one of these, the body says only that there is something which cannot be read. */
const encrypted: readonly (readonly [name: string, ns: string])[] = [
  ['encryption', NS.encryption],
  ['encrypted', NS.omemo],
  ['encrypted', NS.omemoSiacs],
  ['openpgp', NS.openpgp],
  ['x', NS.pgp],
];

/** Reads the text of stored messages, and what they correct; undefined where there is neither. */
export function searchable(senderOf: StoredSender): ReadSearchable {
  return (xml) => {
    const message = parseElement(xml);
    const sender = senderOf(message);
    if (sender === undefined) return undefined;
    const isReadable =
      retractedId(message) === undefined && encrypted.every(([name, ns]) => message.getChild(name, ns) === undefined);
    const text = isReadable ? [...originals(message, 'subject'), ...originals(message, 'body')].join('\n').trim() : '';
    const corrected = correctedId(message);
    const replaces = corrected === undefined ? undefined : { sender, id: corrected };
    if (text === '' && replaces === undefined) return undefined;
    return { text, language: message.getChild('body')?.attrs['xml:lang'] ?? message.attrs['xml:lang'], replaces };
  };
}

/** XEP-0428 2.2: the texts without what is there only for clients that know less, such as the quotation in front of a reply. */
function originals(message: Element, name: 'subject' | 'body'): string[] {
  const fallbacks = message.getChildren('fallback', NS.fallback);
  if (fallbacks.some((fallback) => fallback.elements().length === 0)) return [];
  const parts = fallbacks.flatMap((fallback) => fallback.getChildren(name));
  return message.getChildren(name).map((child) => withoutParts(child.getText(), parts));
}

/** XEP-0426: parts of a text are counted in code points; without numbers the whole text is meant. */
function withoutParts(text: string, parts: readonly Element[]): string {
  if (parts.length === 0) return text;
  const points = [...text];
  for (const { attrs } of parts) {
    const start = Number(attrs.start ?? 0);
    const end = Math.min(Number(attrs.end ?? points.length), points.length);
    if (start >= 0 && start < end) points.fill(' ', start, end);
  }
  return points.join('');
}
