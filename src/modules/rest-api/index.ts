// The REST interface for administrators, under /api/v1: the commands of the command line over HTTP (docs/rest.md). On every host, for
// all of the server; a token may be for one host only.
import { z } from 'zod';
import { bearerOf, domainOfToken } from '../../auth/tokens.ts';
import { isCovered, scopeGroups } from '../../core/api-scopes.ts';
import { type AdminContext, runCommand } from '../../core/commands.ts';
import { limitTo } from '../../core/limited-admin.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule } from '../../core/module.ts';
import { shownPath, type WebMethod, type WebReply, type WebRequest, type WebRoute } from '../../core/web.ts';
import { compileRoute } from '../../core/web-path.ts';
import { ephemeral } from '../../storage/specs.ts';
import { accessTokens } from '../oauth/service.ts';
import { argumentsOf, bodyOf, type ObjectSchema, rememberedSchemas } from './arguments.ts';
import { crossOrigin } from './cross-origin.ts';
import { Idempotency, type Remembered } from './idempotency.ts';
import { describeApi } from './openapi.ts';
import { cut, head, pageOf } from './pages.ts';
import { Problem, problemOf, renderProblem } from './problems.ts';
import { Rates } from './rates.ts';
import { type Endpoint, endpoints } from './table.ts';

const BASE = '/api/v1';
const methods: readonly WebMethod[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Who asks. */
interface Principal {
  /** The id of the token, and what whoever made it called it. */
  readonly id: string;
  readonly name: string | undefined;
  readonly scopes: readonly string[];
  readonly admin: AdminContext;
  /** The text of the token. */
  readonly secret: string;
}

export default defineModule({
  xeps: [],
  summary: 'Administration by programs over HTTP: the REST interface under `/api/v1`',
  config: z.strictObject({
    'per-minute': z
      .int()
      .positive()
      .default(600)
      .describe('Requests that one token, and one network address, may make in a minute'),
    origins: z
      .array(z.url())
      .default([])
      .describe('Web sites whose pages may use the interface, such as https://admin.example.org; none unless named'),
  }),
  stores: { replies: ephemeral<Remembered>() },
  metrics: { requests: counter('Requests to the REST interface that were answered') },

  setup({ host, config, stores, metrics, admin, clock, log, web, background }) {
    const rates = new Rates(clock, config['per-minute']);
    const idempotency = new Idempotency(stores.replies);
    const table = endpoints();
    const schemaOf = rememberedSchemas();

    /** An administrator of this host, by a token of OAuth: this host is theirs, with all scopes. Undefined for those of other hosts. */
    const administrator = async (secret: string): Promise<Principal | undefined> => {
      const bearer = await host.find(accessTokens)?.find(secret);
      if (bearer === undefined) throw unauthorised('The token is none, or none any more.', ', error="invalid_token"');
      if (!bearer.administers) throw new Problem(403, 'forbidden', 'This is for administrators.');
      const { bare } = bearer.jid;
      if (host.settings.limits.enabled) rates.takeToken(bare);
      return { id: bare, name: bare, scopes: ['*:write'], admin: limitTo(admin, host.domain), secret };
    };

    const identify = async (request: WebRequest): Promise<Principal | undefined> => {
      if (!request.peer.isConfidential) {
        throw new Problem(403, 'not-encrypted', 'Tokens are not sent in the clear: use https.');
      }
      const secret = bearerOf(request.headers.authorization);
      if (secret === undefined) throw unauthorised('A token is needed: "Authorization: Bearer ...".', '');
      const domain = domainOfToken(secret);
      // the host whose account it is of is asked next
      if (domain !== undefined && domain !== host.domain && admin.hosts.includes(domain)) return undefined;
      if (domain === host.domain) return administrator(secret);
      const tokens = await admin.tokens();
      const token = await tokens.find(secret);
      if (token === undefined) throw unauthorised('The token is none, or none any more.', ', error="invalid_token"');
      if (host.settings.limits.enabled) rates.takeToken(token.id);
      background(tokens.touch(token), 'when a token was used');
      const { scopes, name, host: only } = token.grant;
      return { id: token.id, name, scopes, admin: only === undefined ? admin : limitTo(admin, only), secret };
    };

    const run = async (endpoint: Endpoint, request: WebRequest): Promise<WebReply | undefined> => {
      if (host.settings.limits.enabled) rates.takeAddress(request.peer.address);
      const principal = await identify(request);
      if (principal === undefined) return undefined;
      const { group, access, command } = endpoint;
      if (!isCovered(principal.scopes, group, access)) {
        const scope = `${group}:${access}`;
        throw new Problem(403, 'insufficient-scope', `The token is not for this: it lacks ${scope}.`, {
          'www-authenticate': `Bearer realm="parley", error="insufficient_scope", scope="${scope}"`,
        });
      }
      const body = await bodyOf(request);
      const work = async (): Promise<WebReply> => {
        const reply = await perform(
          { endpoint, schema: schemaOf(endpoint.command.args), admin: principal.admin },
          request,
          body,
        );
        if (access === 'write') {
          // (never the arguments: passwords are among them)
          const { id: token, name } = principal;
          const by = { token, ...(name === undefined ? {} : { name }), address: request.peer.address };
          log.info({ command: command.name, ...by, path: request.path }, 'admin command');
        }
        return reply;
      };
      const key = request.headers['idempotency-key'];
      if (typeof key !== 'string' || access === 'read') return work();
      const { method, path, query } = request;
      const asked = {
        key,
        owner: principal.id,
        secret: principal.secret,
        request: [method, path, query.toString(), body],
      };
      return idempotency.once(asked, work);
    };

    const { allow, preflight } = crossOrigin(config.origins);
    const answered = (work: (request: WebRequest) => Promise<WebReply | undefined>) => async (request: WebRequest) => {
      try {
        const reply = await work(request);
        if (reply !== undefined) metrics.requests.inc();
        return reply && allow(request, reply);
      } catch (error) {
        metrics.requests.inc();
        const problem = problemOf(error);
        if (problem === undefined)
          log.error({ err: error, path: shownPath(request.path) }, 'a request to the REST interface failed');
        return allow(request, renderProblem(problem ?? new Problem(500, 'failed', 'Something went wrong here.')));
      }
    };

    const description = (): WebReply => json(200, describeApi(table, schemaOf, web.url(BASE)));
    const routes: WebRoute[] = table.map((endpoint) => ({
      methods: [endpoint.method],
      path: BASE + endpoint.path,
      handle: answered((request) => run(endpoint, request)),
    }));
    return {
      routes: [
        { methods: ['GET'], path: `${BASE}/openapi.json`, handle: answered(async () => description()) },
        ...routes,
        // what there is not is told in the same form
        { methods, path: `${BASE}/*`, handle: answered(async (request) => nothing(table, request)) },
        ...(config.origins.length === 0
          ? []
          : [{ methods: ['OPTIONS'] as const, path: `${BASE}/*`, handle: preflight }]),
      ],
    };
  },
});

interface Task {
  readonly endpoint: Endpoint;
  /** Of the command's arguments. */
  readonly schema: ObjectSchema;
  readonly admin: AdminContext;
}

/** Runs the command of a request. @throws Problem, CommandError, and whatever the command meets */
async function perform({ endpoint, schema, admin }: Task, request: WebRequest, body: Buffer): Promise<WebReply> {
  const { command, isList, status } = endpoint;
  const args = argumentsOf(endpoint, schema, request, body);
  if (!isList) return json(status, await runCommand(command, admin, args));
  const page = pageOf(request.query);
  const isPaged = schema.properties?.after !== undefined && schema.properties.limit !== undefined;
  const asked = isPaged ? { ...args, after: page.after, limit: page.limit + 1 } : args;
  const result = (await runCommand(command, admin, asked)) as Record<string, unknown>;
  const name = Object.keys(result).find((one) => one !== 'unknown' && Array.isArray(result[one]));
  if (name === undefined) return json(status, result);
  const list = result[name] as readonly unknown[];
  const { entries, next } = isPaged ? head(list, page.limit) : cut(list, page);
  return json(status, { ...result, [name]: entries, ...(next === undefined ? {} : { next }) });
}

const json = (status: number, value: object): WebReply => ({
  status,
  type: 'application/json',
  body: JSON.stringify(value),
});

/** RFC 6750 3. */
const unauthorised = (detail: string, more: string): Problem =>
  new Problem(401, 'unauthorized', detail, { 'www-authenticate': `Bearer realm="parley"${more}` });

/** A path that there is not, or a method that its path does not know. */
function nothing(table: readonly Endpoint[], { path, method }: WebRequest): undefined {
  const known = table.filter((endpoint) => compileRoute(BASE + endpoint.path)(path) !== undefined);
  if (known.length === 0) {
    const [, group = ''] = path.slice(BASE.length).split('/');
    const hint = (scopeGroups as readonly string[]).includes(group) ? '' : ` ${BASE}/openapi.json tells what there is.`;
    throw new Problem(404, 'not-found', `There is nothing at this address.${hint}`);
  }
  // it was not for this host: the next one is asked
  if (known.some((endpoint) => endpoint.method === method)) return undefined;
  const allow = known.map((endpoint) => endpoint.method).join(', ');
  throw new Problem(405, 'not-allowed', `${method} is not done here.`, { allow });
}
