// Private XML storage in the file of an account (XEP-0227 4.6).
import type { Portion } from '../../core/portion.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { isNamed } from './xml.ts';

export interface PrivatePortionParts {
  /** What is stored, as XML by any key. */
  all(user: string): Promise<ReadonlyMap<string, string>>;
  /** As the account's devices read an element of that name, wherever it is kept; undefined where there is none. */
  read(user: string, wanted: Element): Promise<Element | undefined>;
  /** As if one of its devices had written it. @throws StanzaError */
  write(user: Jid, element: Element): Promise<void>;
}

export function privatePortion(parts: PrivatePortionParts): Portion {
  const isPrivate = isNamed('query', NS.private);
  return {
    takes: isPrivate,
    async *write({ local }) {
      const stored = [...(await parts.all(local))].sort(([a], [b]) => (a < b ? -1 : 1));
      if (stored.length > 0)
        yield el('query', NS.private, undefined, ...stored.map(([, xml]) => parseElement(xml))).toXml();
    },
    read({ user, notes, isDry }) {
      const found: Element[] = [];
      return {
        take(element) {
          found.push(...element.elements());
        },
        // what is kept elsewhere, as bookmarks are, has been read by then
        async end() {
          for (const element of found) {
            const there = await parts.read(user.local, el(element.name, element.ns));
            if (there !== undefined && there.elements().length > 0) {
              if (there.toXml() === element.toXml()) notes.same('private data');
              else notes.kept('private data', `<${element.name} xmlns='${element.ns ?? ''}'/>`);
              continue;
            }
            try {
              if (!isDry) await parts.write(user, element);
              notes.added('private data');
            } catch (error) {
              if (!(error instanceof StanzaError)) throw error;
              notes.ignored('private data', `<${element.name}/>: ${error.text ?? error.condition}`);
            }
          }
        },
      };
    },
  };
}
