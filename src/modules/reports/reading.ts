// What a report says (XEP-0377 4, 5), in the form of today (`urn:xmpp:reporting:1`) or in that of version 0.2 (`:0`).
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

export interface Report {
  readonly reason: string;
  readonly texts: readonly { readonly lang?: string; readonly text: string }[];
  /** Of messages that it is about: in whose archive, under which id. */
  readonly stanzas: readonly { readonly by: Jid; readonly id: string }[];
  readonly mayTellOrigin: boolean;
  readonly mayTellOthers: boolean;
}

/** Characters of a text and of a reason; texts, and messages, of one report. */
const LONGEST_TEXT = 2000;
const LONGEST_REASON = 200;
const MOST_TEXTS = 5;
const MOST_STANZAS = 20;

/** Undefined for what is no report, or has no reason (4 MUST): the address is blocked all the same. */
export function readReport(element: Element): Report | undefined {
  const reason = reasonOf(element);
  if (reason === undefined || reason === '' || reason.length > LONGEST_REASON) return undefined;
  const texts = element
    .getChildren('text')
    .slice(0, MOST_TEXTS)
    .flatMap((child) => {
      const text = child.getText().trim().slice(0, LONGEST_TEXT);
      const lang = child.attrs['xml:lang'];
      return text === '' ? [] : [{ ...(lang === undefined ? {} : { lang: lang.slice(0, 35) }), text }];
    });
  const stanzas = element
    .getChildren('stanza-id', NS.stanzaIds)
    .slice(0, MOST_STANZAS)
    .flatMap(({ attrs }) => {
      const by = Jid.parse(attrs.by ?? '');
      return by === undefined || !attrs.id ? [] : [{ by, id: attrs.id }];
    });
  return {
    reason,
    texts,
    stanzas,
    mayTellOrigin: element.getChild('report-origin') !== undefined,
    mayTellOthers: element.getChild('third-party') !== undefined,
  };
}

function reasonOf(element: Element): string | undefined {
  if (element.is('report', NS.reporting)) return element.attrs.reason;
  if (!element.is('report', NS.reporting0)) return undefined;
  // 0.2: an element for each reason; the same ones as today
  const known = ['spam', 'abuse'].find((name) => element.elements().some((child) => child.name === name));
  return `${NS.reportReasons}:${known ?? 'abuse'}`;
}
