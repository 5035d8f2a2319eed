// Messages that wait for an account, in its file (XEP-0227 4.5).
import type { Portion } from '../../core/portion.ts';
import type { LogStore } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import { delayElement, delayedSince } from '../../xmpp/delay.ts';
import { NS } from '../../xmpp/ns.ts';
import { stanzaIdOf } from '../mam/stanza-ids.ts';
import type { Kept } from '../offline.ts';
import { isNamed, pages, standingAlone } from './xml.ts';

export interface OfflinePortionParts {
  readonly messages: LogStore<Kept, Record<never, string>>;
  /** Messages that wait for one account, at most. */
  readonly most: number;
  now(): number;
  /** What waits for an account is other than before. */
  changed(user: string): void;
}

const TOGETHER = 100;

/** What was stored as a client wrote it, as it is written here. */
const written = (xml: string): string =>
  parseElement(`<in xmlns='${NS.client}'>${xml}</in>`).elements()[0]?.toXml() ?? '';

export function offlinePortion({ messages, most, now, changed }: OfflinePortionParts): Portion {
  const isContainer = isNamed('offline-messages', NS.pie);
  const all = (user: string): AsyncIterable<readonly { readonly value: Kept }[]> =>
    pages((after) => messages.find(user, { limit: TOGETHER, ...(after !== undefined && { after }) }));
  return {
    takes: isContainer,
    opens: (tag, around) => around.length === 0 && isContainer(tag),
    async *write({ local }) {
      let hasBegun = false;
      for await (const entries of all(local)) {
        if (!hasBegun) yield '<offline-messages>';
        hasBegun = true;
        yield entries.map(({ value }) => standingAlone(value.xml)).join('\n');
      }
      if (hasBegun) yield '</offline-messages>';
    },
    read({ user, notes, isDry }) {
      /** What waits already. */
      let there: Set<string> | undefined;
      return {
        async take(element, around) {
          if (around.length === 0) return;
          if (!element.is('message', null)) return notes.ignored('waiting messages', `a <${element.name}/>`);
          if (there === undefined) {
            there = new Set();
            for await (const entries of all(user.local)) for (const { value } of entries) there.add(written(value.xml));
          }
          const since = delayedSince(element);
          const message = since === undefined ? element.append(delayElement(now(), user.domain)) : element;
          const xml = message.toXml();
          if (there.has(xml)) return notes.same('waiting messages');
          if (there.size >= most) return notes.ignored('waiting messages', `more than ${most} wait`);
          there.add(xml);
          notes.added('waiting messages');
          if (isDry) return;
          const archived = stanzaIdOf(element, user.bare);
          const kept: Kept = { xml, at: since ?? now(), ...(archived !== undefined && { archived }) };
          await messages.append(user.local, kept, {}).durable;
          changed(user.local);
        },
      };
    },
  };
}
