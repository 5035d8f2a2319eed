// What is published to an app server (XEP-0357 7), in the clear or for the client's eyes ("Encrypted Push Notifications" 4.4).
import { createCipheriv, randomBytes } from 'node:crypto';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Registration } from './registration.ts';
import type { News } from './worth.ts';

/** How much there is. */
export interface Summary {
  readonly messages: number;
  /** Requests for presence that wait for an answer. */
  readonly requests: number;
}

/** What app servers, and whoever they pass it on to, may know. */
export interface Disclosure {
  readonly sender: boolean;
  readonly body: boolean;
  /** Stands for the text of a message; the empty text: nothing does. */
  readonly placeholder: string;
}

/** What a payload may take where the client does not say, in bytes: those of Apple and Google take 4096 with all that is around it. */
const MAX_SIZE = 3000;
const TAG_AND_MORE = 64;

/** The payload of the request by which a notification is published. */
export function publication(
  { node, options, encryption, priority }: Registration,
  news: News,
  summary: Summary,
  disclosure: Disclosure,
): Element {
  const content = encryption === undefined ? summaryForm(news, summary, disclosure) : sealed(encryption, news, summary);
  const urgency = priority === undefined ? [] : [el('priority', NS.pushPriority, undefined, 'high')];
  const item = el('item', NS.pubsub, undefined, el('notification', NS.push, undefined, content, ...urgency));
  return el(
    'pubsub',
    NS.pubsub,
    undefined,
    el('publish', NS.pubsub, { node }, item),
    ...(options === undefined ? [] : [el('publish-options', NS.pubsub, undefined, parseElement(options))]),
  );
}

function summaryForm(news: News, { messages, requests }: Summary, { sender, body, placeholder }: Disclosure): Element {
  const text = body && news.body !== undefined ? news.body : placeholder;
  const isRequest = news.kind === 'subscribe';
  return el(
    'x',
    NS.dataForms,
    { type: 'submit' },
    field('FORM_TYPE', NS.pushSummary, 'hidden'),
    field('message-count', String(messages)),
    ...(requests > 0 ? [field('pending-subscription-count', String(requests))] : []),
    ...(sender && !isRequest ? [field('last-message-sender', news.from)] : []),
    ...(text !== '' && !isRequest ? [field('last-message-body', text)] : []),
  );
}

function field(name: string, value: string, type?: string): Element {
  return el('field', NS.dataForms, { var: name, type }, el('value', NS.dataForms, undefined, value));
}

/** AES-128 in Galois/Counter mode, the tag behind the text. */
function sealed(
  { key, maxSize = MAX_SIZE }: NonNullable<Registration['encryption']>,
  news: News,
  summary: Summary,
): Element {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-128-gcm', Buffer.from(key, 'base64'), iv);
  const text = fitting(news, summary, Math.floor(((maxSize - TAG_AND_MORE) * 3) / 4));
  const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  const type = news.kind === 'call' ? 'voip' : undefined;
  return el('encrypted', NS.pushEncryption, { iv: iv.toString('base64'), type }, data.toString('base64'));
}

/** The JSON inside, in so many bytes, as far as a shorter text can help. */
function fitting(news: News, summary: Summary, most: number): string {
  let { body } = news;
  for (;;) {
    const json = JSON.stringify(payload(news, body, summary));
    const excess = Buffer.byteLength(json) - most;
    if (excess <= 0 || body === undefined || body === '') return json;
    // a character takes six bytes at most, and what is cut is not half of one
    const length = body.length - Math.max(1, Math.floor(excess / 6));
    body = body.slice(0, Math.max(0, length)).replace(/[\uD800-\uDBFF]$/, '');
  }
}

function payload({ kind, from, sid, media }: News, message: string | undefined, { messages }: Summary): unknown {
  const slash = from.indexOf('/');
  const bare = slash < 0 ? from : from.slice(0, slash);
  return {
    unread: messages,
    // who calls is answered where the call comes from
    sender: kind === 'call' ? from : bare,
    type: kind,
    ...(kind === 'groupchat' && slash >= 0 && { nickname: from.slice(slash + 1) }),
    ...(sid !== undefined && { sid }),
    ...(media !== undefined && { media }),
    ...(message !== undefined && message !== '' && { message }),
  };
}
