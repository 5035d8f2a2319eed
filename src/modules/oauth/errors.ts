// What goes wrong with OAuth, as RFC 6749 5.2 has it told.
import type { WebReply } from '../../core/web.ts';

export type OAuthCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'invalid_scope'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'
  | 'access_denied'
  | 'temporarily_unavailable'
  // RFC 7591 3.2.2
  | 'invalid_client_metadata'
  | 'invalid_redirect_uri'
  // RFC 8628 3.5
  | 'authorization_pending'
  | 'slow_down'
  | 'expired_token';

export class OAuthError extends Error {
  override readonly name = 'OAuthError';
  readonly code: OAuthCode;
  readonly status: number;
  constructor(code: OAuthCode, description: string, status = code === 'invalid_client' ? 401 : 400) {
    super(description);
    this.code = code;
    this.status = status;
  }
}

export function renderError({ code, message, status }: OAuthError): WebReply {
  const challenge = status === 401 ? { 'www-authenticate': 'Basic realm="parley"' } : {};
  return reply(status, { error: code, error_description: message }, challenge);
}

export const reply = (
  status: number,
  value: object,
  headers: Readonly<Record<string, string>> = {},
): WebReply & { readonly headers: Readonly<Record<string, string>> } => ({
  status,
  type: 'application/json',
  headers,
  body: JSON.stringify(value),
});
