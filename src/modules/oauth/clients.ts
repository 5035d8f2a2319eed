// Dynamic registration of clients (RFC 7591). Nothing is stored of a client: its id is what it said of itself, signed, so that nobody fills
// the database by registering, and every node knows all of them.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { isSameText } from '../../auth/tokens.ts';
import { OAuthError } from './errors.ts';

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
export const OUT_OF_BAND = 'urn:ietf:wg:oauth:2.0:oob';
export const grantTypes = ['authorization_code', 'refresh_token', 'password', DEVICE_GRANT] as const;
export type GrantType = (typeof grantTypes)[number];

const text = z.string().min(1).max(200);
const link = z.url({ protocol: /^https$/ }).max(500);
/** What of it is not known here is ignored (RFC 7591 2). */
const metadata = z.object({
  client_name: text,
  client_uri: link,
  logo_uri: link.optional(),
  tos_uri: link.optional(),
  policy_uri: link.optional(),
  redirect_uris: z.array(z.string().min(1).max(500)).max(10).default([]),
  application_type: z.enum(['web', 'native']).optional(),
  grant_types: z.array(z.enum(grantTypes)).min(1).default(['authorization_code']),
  response_types: z.array(z.literal('code')).optional(),
  token_endpoint_auth_method: z
    .enum(['client_secret_basic', 'client_secret_post', 'none'])
    .default('client_secret_basic'),
  scope: z.string().max(500).optional(),
  contacts: z.array(z.string().max(200)).max(10).optional(),
  software_id: text.optional(),
  software_version: text.optional(),
});

export type ClientMetadata = z.output<typeof metadata> & { readonly application_type: 'web' | 'native' };

export interface RegisteredClient extends ClientMetadata {
  readonly id: string;
  /** What it is called where its id would be too long. */
  readonly hash: string;
  /** It keeps no secret. */
  readonly isPublic: boolean;
}

export class Registry {
  private readonly secret: string;

  /** @param secret the host's own, the same on all nodes */
  constructor(secret: string) {
    this.secret = secret;
  }

  /** Registers a client; returns what it is told (RFC 7591 3.2.1). @throws OAuthError */
  register(given: unknown, now: number): object {
    const parsed = metadata.safeParse(given);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new OAuthError('invalid_client_metadata', `${issue!.path.join('.') || 'metadata'}: ${issue!.message}`);
    }
    const client = completed(parsed.data);
    checkLinks(client);
    // told apart from others that said the same
    const body = JSON.stringify({
      ...client,
      iat: Math.floor(now / 1000),
      nonce: randomBytes(9).toString('base64url'),
    });
    const payload = Buffer.from(body).toString('base64url');
    const id = `${payload}.${this.sign('client', payload)}`;
    return {
      ...client,
      client_id: id,
      client_id_issued_at: Math.floor(now / 1000),
      ...(client.token_endpoint_auth_method === 'none'
        ? {}
        : { client_secret: this.secretOf(id), client_secret_expires_at: 0 }),
    };
  }

  /** The client of an id; undefined where none has it. */
  find(id: string): RegisteredClient | undefined {
    const [payload = '', signature = '', ...more] = id.split('.');
    if (more.length > 0 || !isSameText(signature, this.sign('client', payload))) return undefined;
    const client = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as ClientMetadata;
    const hash = createHash('sha256').update(id).digest('base64url');
    return { ...client, id, hash, isPublic: client.token_endpoint_auth_method === 'none' };
  }

  /** The client that proves itself, or needs no proof. @throws OAuthError `invalid_client` */
  authenticate(id: string | undefined, secret: string | undefined): RegisteredClient {
    const client = id === undefined ? undefined : this.find(id);
    const isProved = client !== undefined && (client.isPublic || isSameText(secret ?? '', this.secretOf(client.id)));
    if (!isProved) throw new OAuthError('invalid_client', 'the client is not known, or its secret is wrong');
    return client;
  }

  /** Signs what a page hands to the browser and wants back unchanged. */
  sign(purpose: string, payload: string): string {
    return createHmac('sha256', this.secret).update(`${purpose}\0${payload}`).digest('base64url');
  }

  private secretOf(id: string): string {
    return this.sign('client secret', id);
  }
}

function completed(client: z.output<typeof metadata>): ClientMetadata {
  const isNative =
    client.redirect_uris.length > 0
      ? client.redirect_uris.every((uri) => isNativeRedirect(uri))
      : client.grant_types.includes(DEVICE_GRANT);
  return { ...client, application_type: client.application_type ?? (isNative ? 'native' : 'web') };
}

const isLoopback = ({ protocol, hostname }: URL): boolean =>
  protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname);

/** RFC 8252 7: an address on the machine itself, or a scheme of the program's own, which has a dot; or a code to type. */
function isNativeRedirect(uri: string): boolean {
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  return url !== undefined && (isLoopback(url) || uri === OUT_OF_BAND || url.protocol.includes('.'));
}

/** A client is where it says it is: everything on its own site, so that people can see whom they let in. @throws OAuthError */
function checkLinks(client: ClientMetadata): void {
  const site = new URL(client.client_uri).hostname;
  const isOnSite = (uri: string): boolean => {
    const url = URL.canParse(uri) ? new URL(uri) : undefined;
    return url?.protocol === 'https:' && url.hostname === site;
  };
  for (const uri of client.redirect_uris) {
    const isRight = client.application_type === 'native' ? isNativeRedirect(uri) : isOnSite(uri);
    if (!isRight || uri.includes('#'))
      throw new OAuthError('invalid_redirect_uri', `${uri} is not for a client like this`);
  }
  for (const uri of [client.logo_uri, client.tos_uri, client.policy_uri]) {
    if (uri !== undefined && !isOnSite(uri)) {
      throw new OAuthError('invalid_client_metadata', `${uri} is on another site than the client`);
    }
  }
  if (client.grant_types.includes('authorization_code') && client.redirect_uris.length === 0) {
    throw new OAuthError('invalid_redirect_uri', 'where is the code to be sent to?');
  }
}

/** The address that an answer may be sent to: one of those that were registered, letter by letter, but for the port on the machine itself (RFC 8252 7.3). */
export function redirectOf(client: RegisteredClient, asked: string | undefined): string | undefined {
  if (asked === undefined) return client.redirect_uris.length === 1 ? client.redirect_uris[0] : undefined;
  if (client.redirect_uris.includes(asked)) return asked;
  const url = URL.canParse(asked) ? new URL(asked) : undefined;
  if (url === undefined || client.application_type !== 'native' || !isLoopback(url)) return undefined;
  const isSame = (uri: string): boolean => {
    const known = URL.canParse(uri) ? new URL(uri) : undefined;
    if (known === undefined || !isLoopback(known)) return false;
    known.port = url.port;
    return known.href === url.href;
  };
  return client.redirect_uris.some(isSame) ? asked : undefined;
}
