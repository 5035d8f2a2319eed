// The description of the REST interface in OpenAPI 3.1, made from the table of endpoints and the schemas of the commands.
import { softwareVersion } from '../../base/software.ts';
import { type ObjectSchema, queried, type Schema } from './arguments.ts';
import { PROBLEM } from './problems.ts';
import type { Endpoint } from './table.ts';

const about = `What administrators do on the command line, for programs: every request is one of the commands of \`parley\`.
Tokens are made by \`parley token create\`. Errors are told as RFC 9457 has it. Whatever changes something may have an \`Idempotency-Key\`.`;

const problems: Readonly<Record<number, string>> = {
  400: 'What was sent is wrong',
  401: 'There is no token, or it is none',
  403: 'The token is not for this',
  404: 'There is no such thing',
  409: 'There is one already',
  413: 'The body is too large',
  415: 'The body is not JSON',
  422: 'It cannot be done like this',
  429: 'There are too many requests',
  503: 'The database does not answer',
};

const refusal = {
  type: 'object',
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'A sentence for people' },
    code: { type: 'string', description: 'For programs' },
  },
  required: ['type', 'title', 'status', 'detail', 'code'],
};

type SchemaOf = (args: Endpoint['command']['args']) => ObjectSchema;

/** @param server its public address, as far as it is known */
export function describeApi(endpoints: readonly Endpoint[], schemaOf: SchemaOf, server: string | undefined): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const endpoint of endpoints) {
    const path = endpoint.path.replace(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][endpoint.method.toLowerCase()] = operation(endpoint, schemaOf(endpoint.command.args));
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Parley', version: softwareVersion(), description: about },
    servers: [{ url: server ?? '/api/v1' }],
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'From "parley token create"' } },
      schemas: { Problem: refusal },
      responses: Object.fromEntries(
        Object.entries(problems).map(([status, description]) => [
          `Problem${status}`,
          { description, content: { [PROBLEM]: { schema: { $ref: '#/components/schemas/Problem' } } } },
        ]),
      ),
    },
  };
}

function operation(endpoint: Endpoint, schema: ObjectSchema): object {
  const { method, path, command, group, access, status, named, isList } = endpoint;
  const body = bodySchema(endpoint, schema);
  return {
    operationId: `${method.toLowerCase()}${path.replace(/[/:-]+(\w)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary: command.summary,
    description: `\`parley ${command.name}\`. Needs the scope \`${group}:${access}\`.`,
    tags: [group],
    security: [{ token: [] }],
    parameters: [
      ...named.map((name) => ({ name, in: 'path', required: true, schema: schema.properties?.[name] ?? {} })),
      ...queried(endpoint, schema).map((name) => ({
        name,
        in: 'query',
        required: schema.required?.includes(name) ?? false,
        schema: schema.properties?.[name] ?? {},
      })),
      ...(isList ? listParameters : []),
      ...(access === 'write' && method !== 'GET' ? [idempotencyKey] : []),
    ],
    ...(body === undefined
      ? {}
      : { requestBody: { required: body.required.length > 0, content: { 'application/json': { schema: body } } } }),
    responses: {
      [status]: { description: 'Done', content: { 'application/json': { schema: resultSchema(isList) } } },
      ...Object.fromEntries(
        Object.keys(problems).map((code) => [code, { $ref: `#/components/responses/Problem${code}` }]),
      ),
    },
  };
}

const listParameters = [
  { name: 'limit', in: 'query', required: false, schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 } },
  {
    name: 'cursor',
    in: 'query',
    required: false,
    description: '"next" of the page before',
    schema: { type: 'string' },
  },
];
const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'Any text that is used for this request only: asked again with it within a day, nothing is done twice',
  schema: { type: 'string', maxLength: 200 },
};

/** The arguments that are in the body; undefined where there is none. */
function bodySchema({ method, named }: Endpoint, schema: ObjectSchema): (Schema & { required: string[] }) | undefined {
  if (method === 'GET' || method === 'DELETE') return undefined;
  const properties = Object.entries(schema.properties ?? {}).filter(([name]) => !named.includes(name));
  if (properties.length === 0) return undefined;
  const required = (schema.required ?? []).filter((name) => !named.includes(name));
  return { ...schema, properties: Object.fromEntries(properties), required };
}

const resultSchema = (isList: boolean): Schema =>
  isList
    ? {
        type: 'object',
        properties: { next: { type: 'string', description: 'The cursor of the next page, if there is one' } },
      }
    : { type: 'object' };
