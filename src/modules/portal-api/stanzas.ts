// Stanzas over HTTP: what is posted goes out in the name of the account whose token came with it, and the answer to a request comes back.
// As XML, or as JSON for the few things that tools ask in it.
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { WebRefusal, type WebReply, type WebRequest } from '../../core/web.ts';
import { parseElement } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import { ParseError } from '../../xml/parse-error.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, messageOf, stanzaOf } from '../../xmpp/stanza.ts';
import type { Bearer } from '../oauth/service.ts';
import { ApiError, json } from './errors.ts';
import { jsonOf, stanzaFromJson } from './stanza-json.ts';

/** The longest stanza, in bytes: one with a picture in it. */
const LONGEST = 2 * 1024 * 1024;
/** How long an answer is waited for, in milliseconds. */
const PATIENCE = 30_000;
const XML = 'application/xmpp+xml';

export interface StanzaParts {
  readonly host: Host;
  readonly router: Router;
  readonly signal: AbortSignal;
}

export function stanzaEndpoint({ host, router, signal }: StanzaParts) {
  return async (request: WebRequest, bearer: Bearer): Promise<WebReply> => {
    const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
    const isJson = type === 'application/json';
    if (!isJson && type !== XML && type !== 'application/xml' && type !== 'text/xml') {
      throw new WebRefusal(415, `a stanza is ${XML} or application/json`);
    }
    const text = decode(await request.read(LONGEST));
    const element = isJson ? stanzaFromJson(text) : parse(text);
    const account = bearer.jid;
    const { from, to: address } = element.attrs;
    if (from !== undefined && Jid.parse(from)?.bare !== account.bare)
      throw new ApiError('forbidden', 'You speak for yourself only');
    const to = address === undefined ? account : Jid.parse(address);
    if (to === undefined) throw new ApiError('bad-request', 'the "to" address is not a JID');
    const stanza = element.with({ from: account.full, to: to.full });
    if (element.name === 'message') {
      await router.fromAccount(host, messageOf(stanza, account, to), host.domain);
      return { status: 202 };
    }
    if (element.name !== 'iq') throw new ApiError('bad-request', 'without a session there is no presence');
    if (element.attrs.type !== 'get' && element.attrs.type !== 'set')
      throw new ApiError('bad-request', 'an iq asks for something');
    const make = (id: string): Iq => stanzaOf(stanza.with({ id }), account, to) as Iq;
    const answer = await router.request(host, make, { by: host.domain, signal, timeout: PATIENCE });
    // (others may answer whatever they like, and whenever)
    const isAskedHere = to.full === host.domain || to.full === account.full;
    if (isAskedHere && answer.type === 'result' && changesPassword(element)) await bearer.keep();
    const reply = answer.el.with({ id: element.attrs.id, from: to.full, to: account.full });
    return isJson ? json(200, jsonOf(reply)) : { status: 200, type: `${XML}; charset=utf-8`, body: reply.toXml() };
  };
}

/** XEP-0077 3.3. */
const changesPassword = (iq: Element): boolean =>
  iq.attrs.type === 'set' && iq.getChild('query', NS.register)?.getChild('password') !== undefined;

function decode(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new ApiError('bad-request', 'this is not UTF-8');
  }
}

/** @throws ApiError */
function parse(text: string): Element {
  try {
    const element = parseElement(text);
    if (element.ns === null) return element;
  } catch (error) {
    if (!(error instanceof ParseError) && !(error instanceof StanzaError)) throw error;
  }
  throw new ApiError('bad-request', 'this is no stanza');
}
