// The arguments of a command, gathered from a request: from its path, its query and its body.
import { z } from 'zod';
import type { WebRequest } from '../../core/web.ts';
import { paging } from './pages.ts';
import { Problem } from './problems.ts';
import type { Endpoint } from './table.ts';

export type Schema = Readonly<Record<string, unknown>>;
export interface ObjectSchema extends Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

/** The longest body, in bytes. */
const BODY = 1024 * 1024;

/** What a command takes, as JSON Schema (2020-12). */
function schemaOf(args: z.ZodObject): ObjectSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(args, { io: 'input', unrepresentable: 'any' });
  return schema as ObjectSchema;
}

/** As {@link schemaOf}, made when it is asked for first: nobody asks for most of them. */
export function rememberedSchemas(): (args: z.ZodObject) => ObjectSchema {
  const known = new Map<z.ZodObject, ObjectSchema>();
  return (args) => {
    let schema = known.get(args);
    if (schema === undefined) {
      schema = schemaOf(args);
      known.set(args, schema);
    }
    return schema;
  };
}

/** The arguments that a request gives by its query: all but those of its path, where it has no body; none otherwise. */
export function queried({ method, named, isList }: Endpoint, schema: ObjectSchema): string[] {
  if (method !== 'GET' && method !== 'DELETE') return [];
  // where a page begins is said by its cursor
  const hidden = isList ? [...named, 'after', ...paging] : named;
  return Object.keys(schema.properties ?? {}).filter((name) => !hidden.includes(name));
}

/**
 * What a request says, unchecked but for its form.
 * @param body the whole body, as it came
 * @throws Problem
 */
export function argumentsOf(
  endpoint: Endpoint,
  schema: ObjectSchema,
  request: Pick<WebRequest, 'query' | 'params'>,
  body: Buffer,
): Record<string, unknown> {
  const path = Object.fromEntries(endpoint.named.map((name) => [name, request.params[name]]));
  const fromQuery = queried(endpoint, schema);
  const unknown = [...request.query.keys()].find(
    (name) => !fromQuery.includes(name) && !(endpoint.isList && paging.has(name)),
  );
  if (unknown !== undefined)
    throw new Problem(400, 'bad-arguments', `There is no parameter ${JSON.stringify(unknown)} here.`);
  const query = Object.fromEntries(
    fromQuery.flatMap((name) => {
      const values = request.query.getAll(name);
      return values.length === 0 ? [] : [[name, read(name, values, schema.properties![name]!)]];
    }),
  );
  const given = parseBody(body);
  const twice = Object.keys(given).find((name) => endpoint.named.includes(name));
  if (twice !== undefined && given[twice] !== path[twice]) {
    throw new Problem(400, 'bad-arguments', `${JSON.stringify(twice)} is what the path says.`);
  }
  return { ...given, ...query, ...path };
}

/** A value of the query, as the schema has it. */
function read(name: string, values: readonly string[], { type }: Schema): unknown {
  if (type === 'array') return values;
  if (values.length > 1) throw new Problem(400, 'bad-arguments', `${JSON.stringify(name)} is given several times.`);
  const [text = ''] = values;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if ((type === 'integer' || type === 'number') && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  return text;
}

function parseBody(body: Buffer): Record<string, unknown> {
  if (body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new Problem(400, 'malformed', 'The body is not JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem(400, 'malformed', 'The body is not an object.');
  }
  return value as Record<string, unknown>;
}

/** @throws Problem, WebRefusal for what is too large, or does not come */
export async function bodyOf(request: WebRequest): Promise<Buffer> {
  const body = await request.read(BODY);
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (body.length > 0 && type !== 'application/json') {
    throw new Problem(415, 'unsupported-type', 'A body is JSON here: content-type application/json.');
  }
  return body;
}
