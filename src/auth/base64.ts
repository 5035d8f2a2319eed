// Base64 as SASL carries it: RFC 4648 4, and not one character of leniency (RFC 6120 6.5.5).
import { SaslError } from '../xmpp/errors.ts';

const alphabet = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The octets of a base64 text; undefined for anything else: white space, missing padding, stray bits at the end. */
export function decodeBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0 || !alphabet.test(text)) return undefined;
  const data = Buffer.from(text, 'base64');
  // RFC 4648 3.5: bits that carry nothing are zero, so that there is one text for every value
  return text.endsWith('=') && data.toString('base64') !== text ? undefined : data;
}

/**
 * The character data of `<auth/>`, `<response/>` or `<initial-response/>`. A single `=` stands for no octets at all where
 * an empty element would say that there is no message (RFC 6120 6.4.2, XEP-0388 2.4).
 * @throws SaslError `incorrect-encoding`
 */
export function decodeSasl(text: string): Buffer {
  if (text === '=' || text === '') return Buffer.alloc(0);
  const data = decodeBase64(text);
  if (data === undefined) throw new SaslError('incorrect-encoding', 'This is not base64');
  return data;
}

/** The initial response in `<auth/>`: undefined where the element is empty, for then there is none (RFC 6120 6.4.2). */
export function decodeInitial(text: string): Buffer | undefined {
  return text === '' ? undefined : decodeSasl(text);
}

/** The character data for a message to the client. */
export function encodeSasl(data: Buffer): string {
  return data.length === 0 ? '=' : data.toString('base64');
}
