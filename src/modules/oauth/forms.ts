// What clients and pages send: forms (application/x-www-form-urlencoded), or JSON from those that have it so.
import type { WebRequest } from '../../core/web.ts';
import { OAuthError } from './errors.ts';

/** The longest body, in bytes. */
const BODY = 64 * 1024;

/** The values of a form, each given once (RFC 6749 3.1). */
export type Form = Readonly<Record<string, string | undefined>>;

/** @throws OAuthError, WebRefusal */
export async function readForm(request: WebRequest): Promise<Form> {
  const body = (await request.read(BODY)).toString('utf8');
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type === 'application/json') return fromJson(body);
  if (type !== 'application/x-www-form-urlencoded' && body !== '') {
    // some clients have forms of several parts for no need: they are told what is wanted
    throw new OAuthError('invalid_request', 'a body is application/x-www-form-urlencoded', 415);
  }
  return onlyOnce(new URLSearchParams(body));
}

/** @throws OAuthError */
export async function readJson(request: WebRequest): Promise<unknown> {
  const body = (await request.read(BODY)).toString('utf8');
  try {
    return JSON.parse(body);
  } catch {
    throw new OAuthError('invalid_client_metadata', 'the body is no JSON');
  }
}

/** @throws OAuthError */
export function onlyOnce(values: URLSearchParams): Form {
  const form: Record<string, string> = {};
  for (const [name, value] of values) {
    if (Object.hasOwn(form, name)) throw new OAuthError('invalid_request', `${name} is given several times`);
    form[name] = value;
  }
  return form;
}

function fromJson(text: string): Form {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one === 'string')) as Form;
    }
  } catch {
    // told below
  }
  throw new OAuthError('invalid_request', 'the body is no object in JSON');
}

/** The id and the secret of a client: in the header (RFC 6749 2.3.1), or in the form. */
export function credentialsOf(
  request: WebRequest,
  form: Form,
): { readonly id: string | undefined; readonly secret: string | undefined } {
  const basic = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  if (basic === undefined) return { id: form.client_id, secret: form.client_secret };
  const text = Buffer.from(basic, 'base64').toString('utf8');
  const at = text.indexOf(':');
  // some encode them as in a form, as they should, and some do not: ours have nothing that would change
  return { id: text.slice(0, at), secret: text.slice(at + 1) };
}
