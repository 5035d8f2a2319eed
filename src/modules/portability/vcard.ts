// The vCard of an account in its file (XEP-0227 4.7). Here it is its vCard4 in other words, which are kept beside; where the file has that too, it counts.
import type { Portion } from '../../core/portion.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { isNamed } from './xml.ts';

export interface VCardPortionParts {
  read(user: string): Promise<Element | undefined>;
  /** Whether these are words for what the account's vCard4 says; they are kept then, if they are to be. */
  adopt(user: string, card: Element, isDry: boolean): Promise<boolean>;
  /** As if a device had set it. @throws StanzaError */
  write(user: Jid, card: Element): Promise<void>;
}

export function vcardPortion(parts: VCardPortionParts): Portion {
  return {
    takes: isNamed('vCard', NS.vcardTemp),
    async *write({ local }) {
      const card = await parts.read(local);
      if (card !== undefined) yield card.toXml();
    },
    read({ user, notes, isDry }) {
      let found: Element | undefined;
      return {
        take(element) {
          found = element;
        },
        // vCard4 and pictures have been read by then
        async end() {
          if (found === undefined) return;
          const there = await parts.read(user.local);
          if (there?.toXml() === found.toXml()) return notes.same('vCard');
          try {
            if (there === undefined) {
              if (!isDry) await parts.write(user, found);
              notes.added('vCard');
            } else if (await parts.adopt(user.local, found, isDry)) notes.added('vCard');
            else notes.kept('vCard', 'what the profile says');
          } catch (error) {
            if (!(error instanceof StanzaError)) throw error;
            notes.ignored('vCard', error.text ?? error.condition);
          }
        },
      };
    },
  };
}
