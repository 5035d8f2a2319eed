// OAuth 2.0 for programs that speak HTTP in the name of people (RFC 6749, 6750, 7009, 7591, 7636, 7662, 8414, 8628, 9207), as the tools for
// Prosody know it: the Snikket web portal comes in by it unchanged. What a token is good for, others say (service.ts).
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { networkOf } from '../../auth/throttle.ts';
import { bearerOf, domainOfToken, tokenStore } from '../../auth/tokens.ts';
import { LruCache } from '../../base/lru.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { addresses, duration } from '../../config/schema.ts';
import { defineModule, provide } from '../../core/module.ts';
import type { WebReply, WebRequest } from '../../core/web.ts';
import { ephemeral, kv, map } from '../../storage/specs.ts';
import { Jid } from '../../xmpp/jid.ts';
import { Authorize, type CodeGrant } from './authorize.ts';
import { DEVICE_GRANT, type GrantType, type RegisteredClient, Registry } from './clients.ts';
import { APPROVE_PATH, DEVICE_PATH, type DeviceGrant, Devices, type ShownCode } from './device.ts';
import { OAuthError, renderError, reply } from './errors.ts';
import { credentialsOf, type Form, readForm, readJson } from './forms.ts';
import { type GrantRow, Grants, type Issued, type TokenUse } from './grants.ts';
import { verify } from './people.ts';
import { administers, grantable, OFFLINE, OPENID, parseScopes, speaks } from './scopes.ts';
import { type AccessTokens, accessTokens } from './service.ts';

/** How many of those who ask are remembered. */
const REMEMBERED = 10_000;

export default defineModule({
  xeps: [],
  summary: 'Lets programs in that speak HTTP in the name of people, by OAuth 2.0',
  provides: [accessTokens],
  config: z.strictObject({
    'token-lifetime': duration()
      .prefault('1d')
      .describe(
        'How long a program is in before it has to ask again; one that may stay gets short tokens, and others for them',
      ),
    'password-from': addresses()
      .default(['127.0.0.1', '::1'])
      .describe(
        'Addresses of programs that may ask people for their passwords themselves, as the Snikket web portal does: those on this machine, unless others are named',
      ),
    'per-minute': z.int().positive().default(60).describe('Requests that one network address may make in a minute'),
  }),
  stores: {
    /** Under the owner `''`. */
    secrets: kv<string>(),
    grants: map<GrantRow>(),
    tokens: tokenStore<TokenUse>(),
    codes: tokenStore<CodeGrant>(),
    devices: tokenStore<DeviceGrant>(),
    shown: ephemeral<ShownCode>(),
  },

  async setup({ host, config, stores, clock, web, throttle, log }) {
    const secret = await stores.secrets.update('', (old) => old ?? randomBytes(32).toString('base64url'));
    const registry = new Registry(secret!);
    const grants = new Grants({
      grants: stores.grants,
      tokens: stores.tokens,
      clock,
      domain: host.domain,
      isCurrent: (user, epoch) => host.accounts.isCurrent(user, epoch),
      lifetime: config['token-lifetime'],
    });
    const issuer = (): string => web.url('') ?? `https://${host.domain}`;
    const door = { host, throttle };
    const authorize = new Authorize({ ...door, registry, codes: stores.codes, clock, issuer });
    const url = (path: string): string | undefined => web.url(path);
    const devices = new Devices({ ...door, grants: stores.devices, codes: stores.shown, clock, url });
    const trusted = new Set(config['password-from'].map(networkOf));
    const buckets = new LruCache<string, TokenBucket>(REMEMBERED);

    const tokens: AccessTokens = {
      async find(text) {
        if (domainOfToken(text) !== host.domain) return undefined;
        const token = await grants.find(text);
        if (token === undefined || token.grant.kind !== 'access') return undefined;
        const jid = Jid.of(token.owner, host.domain);
        const { scopes } = token.of;
        return {
          jid,
          scopes,
          speaks: speaks(scopes),
          administers: administers(scopes) && (await host.roles.may(jid, 'administer')),
          keep: async () => {
            const facts = await host.accounts.facts(token.owner);
            if (facts !== undefined) await grants.renew(token, facts.epoch);
          },
        };
      },
    };

    /** Programs on the machine itself ask for many people. */
    const checkRate = ({ peer }: WebRequest): void => {
      const network = networkOf(peer.address);
      if (!host.settings.limits.enabled || trusted.has(network)) return;
      let bucket = buckets.get(network);
      const perMinute = config['per-minute'];
      if (bucket === undefined) {
        bucket = new TokenBucket({ rate: perMinute / 60, burst: perMinute }, clock.now());
        buckets.set(network, bucket);
      }
      if (!bucket.tryTake(1, clock.now()))
        throw new OAuthError('temporarily_unavailable', 'there are too many requests', 429);
    };

    const clientOf = (request: WebRequest, form: Form, grant?: GrantType): RegisteredClient => {
      const { id, secret: given } = credentialsOf(request, form);
      const client = registry.authenticate(id, given);
      if (grant !== undefined && !client.grant_types.includes(grant)) {
        throw new OAuthError('unauthorized_client', `the client is not registered for ${grant}`);
      }
      return client;
    };

    const asked = (client: RegisteredClient, text: string | undefined): readonly string[] => {
      const within = client.scope === undefined ? undefined : parseScopes(client.scope);
      return parseScopes(text ?? client.scope).filter((scope) => within?.includes(scope) ?? true);
    };

    /** RFC 6749 4.3: those who ask for passwords themselves. Guesses are counted for each account: a portal asks for many people. */
    const byPassword = async (client: RegisteredClient, form: Form, request: WebRequest): Promise<Issued> => {
      const { address } = request.peer;
      if (!trusted.has(networkOf(address))) {
        throw new OAuthError('unauthorized_client', 'passwords are not taken from there ("password-from")');
      }
      const { username = '', password = '' } = form;
      const person = await verify(door, { address, isShared: true }, username, password);
      if (person === 'too-many')
        throw new OAuthError('invalid_grant', 'there were too many attempts; try again later', 401);
      if (person === 'wrong') throw new OAuthError('invalid_grant', 'the name or the password is wrong', 401);
      const scopes = grantable(asked(client, form.scope), person);
      return give(client, person, scopes);
    };

    const give = (
      client: RegisteredClient,
      { user, epoch }: { readonly user: string; readonly epoch: number },
      scopes: readonly string[],
    ): Promise<Issued> => {
      if (scopes.length === 0) throw new OAuthError('invalid_scope', 'nothing of this can be given');
      log.info({ user, client: client.client_name, scopes }, 'a program was let in');
      const grant = { client: client.hash, name: client.client_name, scopes, epoch };
      return grants.give(user, grant, scopes.includes(OFFLINE));
    };

    const issue = async (request: WebRequest): Promise<WebReply> => {
      const form = await readForm(request);
      const { issued } = await exchange(request, form);
      return reply(200, {
        access_token: issued.access,
        token_type: 'bearer',
        expires_in: Math.floor(issued.lifetime / 1000),
        scope: issued.scopes.join(' '),
        ...(issued.refresh === undefined ? {} : { refresh_token: issued.refresh }),
      });
    };

    const exchange = async (request: WebRequest, form: Form): Promise<{ readonly issued: Issued }> => {
      switch (form.grant_type) {
        case 'password':
          return { issued: await byPassword(clientOf(request, form, 'password'), form, request) };
        case 'refresh_token': {
          const client = clientOf(request, form);
          return { issued: await grants.refresh(form.refresh_token ?? '', client.hash) };
        }
        case 'authorization_code': {
          const client = clientOf(request, form, 'authorization_code');
          const code = await authorize.redeem(client, form);
          return { issued: await give(client, code, code.scopes) };
        }
        case DEVICE_GRANT: {
          const client = clientOf(request, form, DEVICE_GRANT);
          const device = await devices.redeem(client, form.device_code ?? '');
          return { issued: await give(client, device, device.scopes) };
        }
        default:
          throw new OAuthError('unsupported_grant_type', 'this is not done here');
      }
    };

    /** RFC 7009: what is none is none any more. */
    const revoke = async (request: WebRequest): Promise<WebReply> => {
      const form = await readForm(request);
      if (form.token === undefined) throw new OAuthError('invalid_request', 'which token?');
      const { id } = credentialsOf(request, form);
      // whoever finds a token somewhere may take it back
      await grants.revoke(form.token, id === undefined ? undefined : clientOf(request, form).hash);
      return reply(200, {});
    };

    /** RFC 7662: a client is told of its own tokens only. */
    const introspect = async (request: WebRequest): Promise<WebReply> => {
      const form = await readForm(request);
      const client = clientOf(request, form);
      const token = await grants.find(form.token ?? '');
      if (token === undefined || token.of.client !== client.hash) return reply(200, { active: false });
      return reply(200, {
        active: true,
        client_id: client.id,
        username: token.owner,
        scope: token.of.scopes.join(' '),
        token_type: token.grant.kind === 'access' ? 'bearer' : 'refresh_token',
        sub: `xmpp:${token.owner}@${host.domain}`,
        iss: issuer(),
        iat: Math.floor(token.created / 1000),
        ...(token.expires === undefined ? {} : { exp: Math.floor(token.expires / 1000) }),
      });
    };

    const userinfo = async (request: WebRequest): Promise<WebReply> => {
      const bearer = await tokens.find(bearerOf(request.headers.authorization) ?? '');
      const challenge = { 'www-authenticate': 'Bearer realm="parley", error="invalid_token"' };
      if (bearer === undefined) return reply(401, { error: 'invalid_token' }, challenge);
      if (!bearer.scopes.includes(OPENID)) return reply(403, { error: 'insufficient_scope' });
      return reply(200, { iss: issuer(), sub: `xmpp:${bearer.jid.bare}`, preferred_username: bearer.jid.local });
    };

    const description = (): WebReply =>
      reply(200, {
        issuer: issuer(),
        authorization_endpoint: url('/oauth2/authorize'),
        token_endpoint: url('/oauth2/token'),
        registration_endpoint: url('/oauth2/register'),
        revocation_endpoint: url('/oauth2/revoke'),
        introspection_endpoint: url('/oauth2/introspect'),
        userinfo_endpoint: url('/oauth2/userinfo'),
        device_authorization_endpoint: url(DEVICE_PATH),
        response_types_supported: ['code'],
        grant_types_supported: ['authorization_code', 'refresh_token', DEVICE_GRANT],
        code_challenge_methods_supported: ['S256'],
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
        authorization_response_iss_parameter_supported: true,
        scopes_supported: ['xmpp', OPENID, OFFLINE],
      });

    const beginDevice = async (request: WebRequest): Promise<WebReply> => {
      const form = await readForm(request);
      const client = clientOf(request, form, DEVICE_GRANT);
      const scopes = asked(client, form.scope);
      if (scopes.length === 0) throw new OAuthError('invalid_scope', 'what does it want to do?');
      return devices.begin(client, scopes);
    };

    const answered = (work: (request: WebRequest) => WebReply | Promise<WebReply>) => async (request: WebRequest) => {
      try {
        if (!request.peer.isConfidential)
          throw new OAuthError('invalid_request', 'nothing of this is sent in the clear: use https', 403);
        checkRate(request);
        return await work(request);
      } catch (error) {
        if (error instanceof OAuthError) return renderError(error);
        throw error;
      }
    };
    const register = async (request: WebRequest): Promise<WebReply> =>
      reply(201, registry.register(await readJson(request), clock.now()));

    // guests have nothing that a program could be let in to
    if (host.settings.authentication === 'anonymous')
      return { handlers: [provide(accessTokens, { find: async () => undefined })] };
    return {
      handlers: [provide(accessTokens, tokens)],
      routes: [
        { methods: ['GET'], path: '/.well-known/oauth-authorization-server', handle: description },
        { methods: ['POST'], path: '/oauth2/register', handle: answered(register) },
        { methods: ['POST'], path: '/oauth2/token', handle: answered(issue) },
        { methods: ['POST'], path: '/oauth2/revoke', handle: answered(revoke) },
        { methods: ['POST'], path: '/oauth2/introspect', handle: answered(introspect) },
        { methods: ['GET'], path: '/oauth2/userinfo', handle: answered(userinfo) },
        {
          methods: ['GET', 'POST'],
          path: '/oauth2/authorize',
          handle: answered((request) => authorize.handle(request)),
        },
        { methods: ['GET'], path: DEVICE_PATH, handle: answered((request) => devices.show(request)) },
        { methods: ['POST'], path: DEVICE_PATH, handle: answered(beginDevice) },
        { methods: ['POST'], path: APPROVE_PATH, handle: answered((request) => devices.approve(request)) },
      ],
    };
  },
});
