// Files that were sent (XEP-0363) go with the message that they were sent in, when that is taken back (XEP-0424) or moderated (XEP-0425): by
// whatever their address stood in it, body, XEP-0066, XEP-0385 or XEP-0447. What several messages speak of stays until all of them are gone; what
// others only passed on is not theirs to delete.
//
// - Addresses in encrypted messages (`aesgcm:`, XEP-0454, XEP-0448) are seen by nobody here: those files stay until they expire, or are deleted.
// - What is not in an archive is not found when it is taken back, and its files stay as well.
import { messageOut, messageWithdrawn } from '../core/events.ts';
import type { Host } from '../core/host.ts';
import { defineModule, on } from '../core/module.ts';
import { Element } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';
import { type Uploads, uploads } from './upload/service.ts';

/** What stands in the addresses of files. */
const MARK = '/upload/';
/** What they stand in, beside the body. */
const carriers: ReadonlySet<string> = new Set([NS.oob, NS.references, NS.fileSharing]);

export default defineModule({
  xeps: [],
  summary: 'Deletes files with the messages that they were sent in',
  hosts: ['users', 'rooms'],

  setup: ({ host, router, log }) => ({
    handlers: [
      on(messageOut, { phase: 'copy' }, ({ stanza }) => {
        const { el: message, from, to, id = '' } = stanza;
        if (!maySpeakOfFiles(message) || stanza.type === 'error') return;
        const text = message.toXml();
        if (!text.includes(MARK)) return;
        return serviceOf(host)
          ?.mentioned(from.bare, text, named(to.bare, id))
          .catch((err: unknown) => {
            // the message is said in any case
            log.warn({ err }, 'it was not written down which files a message speaks of');
          });
      }),
      on(messageWithdrawn, ({ message, by, place }) => {
        const text = message.toXml();
        if (!text.includes(MARK)) return;
        // whoever spoke in a room may be of another domain that is served here
        return serviceOf(router.hostOf(domainOf(by)))?.withdrawn(by, text, named(place, message.attrs.id ?? ''));
      }),
    ],
  }),
});

/** Without making the XML of what is not about files: this is asked of every message. */
function maySpeakOfFiles(message: Element): boolean {
  for (const child of message.children) {
    if (!(child instanceof Element)) continue;
    if (child.ns === null ? child.name === 'body' && child.getText().includes(MARK) : carriers.has(child.ns))
      return true;
  }
  return false;
}

const domainOf = (bare: string): string => bare.slice(bare.indexOf('@') + 1);

function serviceOf(host: Pick<Host, 'below'> | undefined): Uploads | undefined {
  for (const below of host?.below ?? []) {
    const found = below.find(uploads);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What tells a message from others of the same sender. */
const named = (place: string, id: string): string => `${place} ${id}`;
