// Asks an archive for pages (XEP-0313, XEP-0059), one at a time.

import { attribute, type Client } from './client.ts';

const PATIENCE = 60_000;
const RESULT = /<result [^>]*>/;

export interface Page {
  /** The messages that carry the results, whole, in the order they came in. */
  readonly results: string[];
  /** The ids to go on from, in either direction; empty on an empty page. */
  first: string;
  last: string;
  isComplete: boolean;
}

export class ArchiveReader {
  readonly client: Client;
  private readonly filter: string;
  private readonly to: string;
  /** What ids of queries begin with. */
  private readonly name: string;
  private page: Page = { results: [], first: '', last: '', isComplete: false };
  private queries = 0;
  private fin: (() => void) | undefined;
  private failed: ((error: Error) => void) | undefined;

  /** For the client's own archive, or a `room`'s; `peer`: only the conversation with that address. */
  constructor(client: Client, { peer, room }: { readonly peer?: string | undefined; readonly room?: string } = {}) {
    this.client = client;
    this.to = room === undefined ? '' : ` to='${room}'`;
    this.name = room ?? 'q';
    this.filter =
      peer === undefined
        ? ''
        : "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value>" +
          `</field><field var='with'><value>${peer}</value></field></x>`;
  }

  /** The page of `max` that `where` names (`<before/>`, `<after>id</after>`). Throws with what the server answered instead. */
  async ask(max: number, where: string): Promise<Page> {
    const page: Page = { results: [], first: '', last: '', isComplete: false };
    this.page = page;
    const query = `<query xmlns='urn:xmpp:mam:2' queryid='${this.name}${++this.queries}'>${this.filter}`;
    const set = `<set xmlns='http://jabber.org/protocol/rsm'><max>${max}</max>${where}</set>`;
    const timer = setTimeout(() => this.failed?.(new Error(`no page in ${PATIENCE / 1000} s`)), PATIENCE);
    try {
      await new Promise<void>((resolve, reject) => {
        this.fin = resolve;
        this.failed = reject;
        this.client.send(`<iq type='set' id='${this.name}${this.queries}'${this.to}>${query}${set}</query></iq>`);
      });
    } finally {
      clearTimeout(timer);
    }
    return page;
  }

  /** To be given every stanza that the client gets; whether it belonged to the page that was asked for. */
  take(xml: string): boolean {
    if (xml.startsWith('<message')) {
      const result = RESULT.exec(xml)?.[0];
      if (result === undefined || attribute(result, 'queryid') !== `${this.name}${this.queries}`) return false;
      this.page.results.push(xml);
      return true;
    }
    const head = xml.slice(0, xml.indexOf('>') + 1);
    if (!head.startsWith('<iq') || attribute(head, 'id') !== `${this.name}${this.queries}`) return false;
    if (attribute(head, 'type') !== 'result') {
      this.failed?.(new Error(`no page: ${xml.slice(0, 300)}`));
      return true;
    }
    this.page.isComplete = attribute(/<fin[^>]*>/.exec(xml)?.[0] ?? '', 'complete') === 'true';
    this.page.first = /<first[^>]*>([^<]*)</.exec(xml)?.[1] ?? '';
    this.page.last = /<last>([^<]*)</.exec(xml)?.[1] ?? '';
    this.fin?.();
    return true;
  }
}
