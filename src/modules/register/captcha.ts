// XEP-0158: CAPTCHA Forms, as far as registration goes (section 4): a form with three challenges, of which one is to be met.
//
// - 6.1 MUST, a reasonable choice: letters in a picture (`ocr`); a question in words (`qa`), for those who do not see it; some work for the
//   machine (`SHA-256`), for programs that would rather do that.
// - A challenge is for the stream that asked for it, for one attempt, and for ten minutes (3.1.4 SHOULD).
// - The picture is a PNG, inside the answer (XEP-0231); clients that show pictures in forms show these. There are no sounds.
// - 4 MAY: no address of a page to register at is given.
// - Messages, presence and rooms (3, 5) are never challenged.
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { type Element, el } from '../../xml/element.ts';
import { findForm, rawValues } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { drawLetters } from './letters.ts';

/** What a client has been given, and what is right. */
export interface Challenge {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly letters: string;
  readonly answer: string;
  /** What the hash of some text is to end with, in binary. */
  readonly ending: string;
}

const LIFETIME = 10 * 60_000;

const words = [
  'river',
  'candle',
  'garden',
  'window',
  'apple',
  'winter',
  'silver',
  'pigeon',
  'ladder',
  'cotton',
  'island',
];
const ordinals = ['first', 'second', 'third', 'fourth'];

/** A question that is read to whoever does not see it, and its answer. */
function question(): { readonly ask: string; readonly answer: string } {
  const chosen: string[] = [];
  while (chosen.length < ordinals.length) {
    const word = words[randomInt(words.length)]!;
    if (!chosen.includes(word)) chosen.push(word);
  }
  const at = randomInt(ordinals.length);
  return { ask: `Or write the ${ordinals[at]} of these words: ${chosen.join(', ')}`, answer: chosen[at]! };
}

/**
 * A form for an account, with its challenges.
 * @param sid the id of the request
 * @param bits of work, for each of which it takes twice as long
 * @returns the children of the answer, and what is to be remembered
 */
export function makeChallenge(
  domain: string,
  sid: string | undefined,
  bits: number,
  now: number,
): { readonly children: readonly Element[]; readonly challenge: Challenge } {
  const id = randomBytes(12).toString('base64url');
  const { ask, answer } = question();
  const letters = drawLetters();
  // 6.2: the leading bit is set, so that the number says how many there are
  const label = (randomInt(2 ** (bits - 1)) + 2 ** (bits - 1)).toString(16);
  const cid = `sha1+${createHash('sha1').update(letters.png).digest('hex')}@bob.xmpp.org`;
  const type = 'image/png';
  const size = { height: String(letters.height), width: String(letters.width) };
  const media = el('media', NS.mediaElement, size, el('uri', NS.mediaElement, { type }, `cid:${cid}`));
  const x = el(
    'x',
    NS.dataForms,
    { type: 'form' },
    el('title', NS.dataForms, undefined, 'Registration'),
    el('instructions', NS.dataForms, undefined, 'Choose a name and a password, and do one of the others.'),
    hidden('FORM_TYPE', NS.register),
    hidden('from', domain),
    hidden('challenge', id),
    ...(sid === undefined ? [] : [hidden('sid', sid)]),
    field('username', 'text-single', 'Name', el('required', NS.dataForms)),
    field('password', 'text-private', 'Password', el('required', NS.dataForms)),
    field('ocr', 'text-single', 'Enter the text you see', media),
    field('qa', 'text-single', ask),
    field('SHA-256', 'text-single', label),
  );
  const instructions = 'You need a client that shows forms to register here.';
  const data = el('data', NS.bob, { cid, type, 'max-age': '0' }, letters.png.toString('base64'));
  return {
    children: [el('instructions', NS.register, undefined, instructions), x, data],
    challenge: {
      id,
      expires: now + LIFETIME,
      letters: letters.text,
      answer,
      ending: Number.parseInt(label, 16).toString(2),
    },
  };
}

const field = (name: string, type: string, label: string, ...children: readonly Element[]): Element =>
  el('field', NS.dataForms, { var: name, type, label }, ...children);

const hidden = (name: string, value: string): Element =>
  el('field', NS.dataForms, { var: name, type: 'hidden' }, el('value', NS.dataForms, undefined, value));

/** What somebody has filled in. */
export interface FilledIn {
  readonly username: string;
  readonly password: string;
}

/**
 * The name and the password of a form whose challenge is met.
 * @param challenge the one that the client was given, if it was; it counts for no other attempt
 * @throws StanzaError `not-acceptable` where there is no form; `service-unavailable` for a challenge that there is not (any more); `not-acceptable`, type `cancel`, where it is not met
 */
export function checkChallenge(
  query: Element,
  challenge: Challenge | undefined,
  domain: string,
  now: number,
): FilledIn {
  const x = findForm(query, NS.register);
  if (x === undefined || x.attrs.type !== 'submit') {
    throw new StanzaError('not-acceptable', 'Registering here takes the form that you are given');
  }
  const values = rawValues(x);
  const value = (name: string): string => values.get(name)?.[0] ?? '';
  // 3.1.4 SHOULD
  if (challenge === undefined || value('challenge') !== challenge.id || challenge.expires <= now) {
    throw new StanzaError('service-unavailable', 'That form is no longer good; ask for a new one');
  }
  const given = (name: string): string => value(name).trim().toLowerCase();
  const isMet =
    given('ocr') === challenge.letters.toLowerCase() ||
    given('qa') === challenge.answer ||
    isWorked(value('SHA-256'), challenge.ending, domain);
  if (!isMet) throw new StanzaError('not-acceptable', 'That is not the answer', { type: 'cancel' });
  return { username: value('username'), password: value('password') };
}

/** 6.2: a text that begins with the address which was asked, and whose hash ends so. */
function isWorked(text: string, ending: string, domain: string): boolean {
  if (!text.startsWith(domain) || text.length > 1024) return false;
  const hash = createHash('sha256').update(text).digest();
  // (no more than 32 bits are asked for)
  return hash.readUInt32BE(28).toString(2).padStart(32, '0').endsWith(ending);
}
