// People take what they have with them, and bring it (`/xep227`): files of XEP-0227 with one account, whose data goes into the account that brings
// it, whatever it was called elsewhere. Neither keys nor rights are in what is written, nor taken from what is read.
import { Readable } from 'node:stream';
import type { Host } from '../../core/host.ts';
import { type AccountReader, portability } from '../../core/transfer.ts';
import type { WebReply, WebRequest } from '../../core/web.ts';
import { parseElement } from '../../xml/document.ts';
import { Element, el } from '../../xml/element.ts';
import { escapeAttr } from '../../xml/escape.ts';
import { ParseError } from '../../xml/parse-error.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Bearer } from '../oauth/service.ts';
import { ApiError, json } from './errors.ts';

/** The longest file that is read, in bytes. */
const LONGEST = 16 * 1024 * 1024;

/** What Prosody calls the stores, and the modules that keep such things here. */
const modulesOf: Readonly<Record<string, string>> = {
  roster: 'roster',
  vcard: 'vcard',
  pep: 'pep',
  pep_data: 'pep',
  private: 'private',
  archive: 'mam',
  offline: 'offline',
  blocklist: 'blocking',
};
/** Of the account itself: those of a file are somebody else's. */
const ownOnes: ReadonlySet<string> = new Set(['scram-credentials', 'account', 'password']);

export function exporting(host: Host) {
  return async (request: WebRequest, { jid }: Bearer): Promise<WebReply> => {
    const xml = await service(host).write(jid.local, chosen(request));
    if (xml === undefined) throw new ApiError('item-not-found', 'There is no such account');
    return { status: 200, type: 'application/xml; charset=utf-8', body: Readable.from(document(host.domain, xml)) };
  };
}

export function importing(host: Host) {
  return async (request: WebRequest, { jid }: Bearer): Promise<WebReply> => {
    const user = userIn((await request.read(LONGEST)).toString('utf8'));
    const reader = service(host).read(el('user', NS.pie, { name: jid.local }), false);
    for (const child of user.elements()) if (!ownOnes.has(child.name)) await feed(reader, child, []);
    await reader.end();
    const { counts, lines } = reader.report;
    return json(200, { counts, lines });
  };
}

/** What is asked for; all, unless said. */
function chosen(request: WebRequest): ReadonlySet<string> {
  const named = request.query.get('stores')?.split(',') ?? Object.keys(modulesOf);
  return new Set(named.flatMap((name) => modulesOf[name] ?? []));
}

async function* document(domain: string, user: AsyncIterable<string>): AsyncGenerator<string> {
  yield `<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='${NS.pie}'>\n<host jid='${escapeAttr(domain)}'>\n`;
  yield* user;
  yield '\n</host>\n</server-data>\n';
}

/** The only account of a document. @throws ApiError */
function userIn(text: string): Element {
  let root: Element | undefined;
  try {
    // what comes before the element is not for the parser of elements
    root = parseElement(text.replace(/^\uFEFF?\s*<\?xml[^>]*\?>\s*/, '').trim());
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
  }
  const hosts = root?.is('server-data', NS.pie) === true ? root.getChildren('host', NS.pie) : [];
  const users = hosts.flatMap((host) => host.getChildren('user', NS.pie));
  if (users.length !== 1) throw new ApiError('bad-request', 'This is no file of one account (XEP-0227)');
  return users[0]!;
}

/** As it would come from a file, piece by piece. */
async function feed(reader: AccountReader, element: Element, around: readonly Element[]): Promise<void> {
  const tag = new Element(element.name, element.ns, element.attrs, []);
  if (!reader.opens(tag, around)) return reader.take(element, around);
  for (const child of element.elements()) await feed(reader, child, [...around, tag]);
  await reader.close(tag, around);
}

function service(host: Host) {
  const found = host.find(portability);
  if (found === undefined) throw new ApiError('item-not-found', 'Accounts are not moved here');
  return found;
}
