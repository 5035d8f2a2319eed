// The authorization endpoint (RFC 6749 4.1, with RFC 7636 and RFC 9207), and codes. People are asked who they are and whether they allow it on
// one page, each time: there are no cookies, and so nothing that another site's page could have done in somebody's name.
//
// Nobody is sent anywhere before having pressed a button: clients register themselves, so that otherwise any link to here could lead anywhere (RFC 9700 4.11.2).
import { createHash } from 'node:crypto';
import { isSameText, type TokenRow, Tokens } from '../../auth/tokens.ts';
import type { Clock } from '../../base/clock.ts';
import type { WebReply, WebRequest } from '../../core/web.ts';
import type { MapStore } from '../../storage/ports.ts';
import { OUT_OF_BAND, type RegisteredClient, type Registry, redirectOf } from './clients.ts';
import { OAuthError } from './errors.ts';
import { type Form, onlyOnce, readForm } from './forms.ts';
import { notice, question } from './pages.ts';
import { type Door, type Person, verify } from './people.ts';
import { grantable, parseScopes } from './scopes.ts';

/** What a code stands for. */
export interface CodeGrant {
  readonly client: string;
  readonly redirect: string;
  /** What the verifier has to hash to (RFC 7636 4.2). */
  readonly challenge: string;
  readonly scopes: readonly string[];
  readonly epoch: number;
}

export interface AuthorizeParts extends Door {
  readonly registry: Registry;
  readonly codes: MapStore<TokenRow<CodeGrant>>;
  readonly clock: Clock;
  readonly issuer: () => string;
}

/** How long a code is good (RFC 6749 4.1.2), in milliseconds; and one that somebody has to type. */
const CODE = 60_000;
const TYPED = 10 * 60_000;

interface Asked {
  readonly client: RegisteredClient;
  readonly redirect: string;
  readonly scopes: readonly string[];
  readonly challenge: string;
  readonly state: string | undefined;
}

export class Authorize {
  private readonly parts: AuthorizeParts;
  private readonly codes: Tokens<CodeGrant>;

  constructor(parts: AuthorizeParts) {
    this.parts = parts;
    this.codes = new Tokens(parts.codes, parts.clock, parts.host.domain);
  }

  /** GET and POST of the page. */
  async handle(request: WebRequest): Promise<WebReply> {
    let asked: Asked;
    try {
      asked = this.read(onlyOnce(request.query));
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error;
      return notice(400, 'This does not work', `The program that sent you here made a mistake: ${error.message}.`);
    }
    if (request.method === 'GET') return this.ask(asked, request);
    const form = await readForm(request);
    if (form.decision !== 'allow') return this.answer(asked, { error: 'access_denied' });
    const person = await verify(this.parts, request.peer, form.username ?? '', form.password ?? '');
    if (typeof person === 'string') {
      const problem =
        person === 'wrong'
          ? 'The name or the password is wrong.'
          : 'There were too many attempts. Wait a quarter of an hour.';
      return this.ask(asked, request, problem, form.username);
    }
    const scopes = grantable(asked.scopes, person);
    if (scopes.length === 0) return this.answer(asked, { error: 'invalid_scope' });
    return this.answer(asked, { code: await this.codeFor(asked, person, scopes) });
  }

  /** What a code stands for; once. @throws OAuthError `invalid_grant` */
  async redeem(client: RegisteredClient, form: Form): Promise<CodeGrant & { readonly user: string }> {
    const wrong = new OAuthError('invalid_grant', 'the code is none, or none any more');
    const code = await this.codes.find(form.code ?? '');
    if (code === undefined || code.grant.client !== client.hash) throw wrong;
    // whoever asks second, on whatever node, is late
    if (!(await this.codes.revoke(code.owner, code.id))) throw wrong;
    const { redirect, challenge } = code.grant;
    const isSameRedirect =
      form.redirect_uri === undefined ? client.redirect_uris.length === 1 : form.redirect_uri === redirect;
    const proof = createHash('sha256')
      .update(form.code_verifier ?? '')
      .digest('base64url');
    if (!isSameRedirect || !isSameText(proof, challenge)) throw wrong;
    return { ...code.grant, user: code.owner };
  }

  /** @throws OAuthError */
  private read(query: Form): Asked {
    const client = query.client_id === undefined ? undefined : this.parts.registry.find(query.client_id);
    if (client === undefined) throw new OAuthError('invalid_client', 'it is not registered here');
    const redirect = redirectOf(client, query.redirect_uri);
    if (redirect === undefined)
      throw new OAuthError('invalid_request', 'it wants the answer at an address that is not registered');
    if (query.response_type !== 'code' || !client.grant_types.includes('authorization_code')) {
      throw new OAuthError('unsupported_response_type', 'what it asks for is not done here');
    }
    if (query.code_challenge_method !== 'S256' || !/^[A-Za-z0-9_-]{43}$/.test(query.code_challenge ?? '')) {
      throw new OAuthError('invalid_request', 'it does not prove that it is the one that asked (PKCE, S256)');
    }
    const within = client.scope === undefined ? undefined : parseScopes(client.scope);
    const scopes = parseScopes(query.scope).filter((scope) => within?.includes(scope) ?? true);
    if (scopes.length === 0) throw new OAuthError('invalid_scope', 'it does not say what it wants to do');
    return { client, redirect, scopes, challenge: query.code_challenge!, state: query.state };
  }

  private ask({ client, scopes, redirect }: Asked, request: WebRequest, problem?: string, name?: string): WebReply {
    const url = new URL(redirect);
    return question({
      domain: this.parts.host.domain,
      client,
      scopes,
      action: `${request.path}?${request.query}`,
      target: url.origin === 'null' ? url.protocol : url.origin,
      ...(problem === undefined ? {} : { problem }),
      ...(name === undefined ? {} : { name }),
    });
  }

  private async codeFor(
    { client, redirect, challenge }: Asked,
    { user, epoch }: Person,
    scopes: readonly string[],
  ): Promise<string> {
    await this.codes.prune(user);
    const grant = { client: client.hash, redirect, challenge, scopes, epoch };
    return (await this.codes.issue(user, grant, redirect === OUT_OF_BAND ? TYPED : CODE)).text;
  }

  /** Sends the browser back, with the answer. */
  private answer({ redirect, state }: Asked, values: Readonly<Record<string, string>>): WebReply {
    if (redirect === OUT_OF_BAND) {
      return values.code === undefined
        ? notice(200, 'Nobody was let in', 'You may close this page.')
        : notice(200, 'Allowed', 'Copy this code into the program that asked:', values.code);
    }
    const url = new URL(redirect);
    const all = { ...values, ...(state === undefined ? {} : { state }), iss: this.parts.issuer() };
    for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
    return { status: 303, headers: { location: url.href, 'referrer-policy': 'no-referrer' } };
  }
}
