// What is generated from the schema: the JSON Schema for editors, the page of the documentation, and the example file.
import { stringify } from 'yaml';
import { z } from 'zod';
import { hostSchema, serverSchema } from './server.ts';
import { branch, type Look, look } from './tree.ts';

/** The settings of each module, by its name. */
export type ModuleSchemas = ReadonlyMap<string, z.ZodType | undefined>;

const kindWords: Readonly<Record<string, string>> = {
  duration: 'duration',
  bytes: 'bytes',
  jid: 'JID',
  secret: 'secret',
  url: 'URL',
  port: 'port',
  path: 'path',
  plugin: 'path or package',
  address: 'IP address',
};

/** The type of a setting in a word or two. */
function typeWords(seen: Look): string {
  const kind = seen.meta.kind && kindWords[seen.meta.kind];
  if (seen.type === 'union' && seen.meta.kind !== 'port' && seen.meta.kind !== 'bytes') {
    const list = branch(seen, []);
    if (list.type === 'array' && list.inner) return `${typeWords(look(list.inner))}, or a list`;
    return [...new Set(seen.options.map((option) => typeWords(look(option))))].join(' or ');
  }
  if (kind !== undefined) return kind;
  const { values, entries } = seen.schema._zod.def as { values?: readonly unknown[]; entries?: object };
  switch (seen.type) {
    case 'enum':
      return Object.values(entries ?? {})
        .map((value) => `\`${value}\``)
        .join(' ');
    case 'literal':
      return (values ?? []).map((value) => `\`${value}\``).join(' ');
    case 'boolean':
      return '`true` `false`';
    case 'string':
      return 'text';
    case 'array':
      return seen.inner ? `list of ${typeWords(look(seen.inner))}` : 'list';
    case 'int':
    case 'number':
      return 'number';
    default:
      return 'group';
  }
}

/** The JSON Schema of parley.yaml, for editors. */
export function jsonSchema(modules: ModuleSchemas): object {
  const convert = (schema: z.ZodType): Record<string, unknown> =>
    z.toJSONSchema(schema, {
      io: 'input',
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema: made }) => {
        const { kind, restart, keys, ...rest } = made as Record<string, unknown>;
        for (const name of ['kind', 'restart', 'keys']) delete (made as Record<string, unknown>)[name];
        const seen = look(zodSchema);
        // an empty group is filled with the defaults of what is in it
        if ((seen.type === 'object' || seen.type === 'record') && JSON.stringify(rest.default) === '{}')
          delete made.default;
        if (seen.type === 'object' && !seen.nullable && made.type === 'object') {
          made.type = ['object', 'null', ...(seen.shape?.enabled === undefined ? [] : ['boolean'])] as never;
        }
        if (restart === true) made.description = `${made.description ?? ''} Takes effect after a restart.`.trim();
      },
    }) as Record<string, unknown>;
  const properties = Object.fromEntries(
    [...modules].map(([name, schema]) => {
      const settings = schema ? convert(schema) : { type: 'object', additionalProperties: false };
      delete (settings as { $schema?: string }).$schema;
      return [name, { anyOf: [{ type: 'boolean' }, settings] }];
    }),
  );
  const schema = convert(serverSchema) as { properties: Record<string, Record<string, unknown>> } & Record<
    string,
    unknown
  >;
  const narrow = (group: Record<string, unknown> | undefined): void => {
    const at = group?.modules as Record<string, unknown> | undefined;
    // plugins bring modules of their own, so that other names are allowed here
    if (at && modules.size > 0) at.properties = properties;
  };
  narrow(schema.properties);
  narrow(
    (schema.properties.hosts?.additionalProperties as { properties?: Record<string, unknown> } | undefined)?.properties,
  );
  return JSON.parse(JSON.stringify({ title: 'parley.yaml', ...schema }));
}

interface Row {
  readonly path: string;
  readonly type: string;
  readonly fallback: string;
  readonly restart: boolean;
  readonly description: string;
}

function rows(schema: z.core.$ZodType, path: string, inherited = false): Row[] {
  const seen = look(schema);
  const restart = inherited || seen.meta.restart === true;
  const group = seen.type === 'object' ? seen.shape : undefined;
  if (group && Object.keys(group).length > 0) {
    return Object.entries(group).flatMap(([name, child]) =>
      rows(child, path === '' ? name : `${path}.${name}`, restart),
    );
  }
  const inside = seen.inner && look(seen.inner);
  const nested =
    inside?.type === 'object' && path !== 'hosts'
      ? rows(seen.inner!, seen.type === 'record' ? `${path}.NAME` : `${path}[]`, restart)
      : [];
  const fallback = seen.fallback === undefined ? '' : `\`${JSON.stringify(seen.fallback)}\``;
  const own = { path, type: typeWords(seen), fallback, restart, description: seen.meta.description ?? '' };
  return [own, ...nested];
}

function markdownTable(list: readonly Row[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  return [
    '| Setting | Type | Default | |',
    '|---|---|---|---|',
    ...list.map(({ path, type, fallback, restart, description }) => {
      const words = `${description}${restart ? ' *(restart)*' : ''}`;
      return `| \`${path}\` | ${cell(type)} | ${cell(fallback)} | ${cell(words)} |`;
    }),
  ].join('\n');
}

/** docs/configuration.md */
export function settingsPage(modules: ModuleSchemas): string {
  const all = rows(serverSchema, '');
  const own = rows(hostSchema, '').filter(({ path }) => !(path.split(/[.[]/)[0]! in serverSchema.shape));
  const names = Object.keys(hostSchema.shape).filter((name) => name in serverSchema.shape);
  const moduleParts = [...modules].map(([name, schema]) => {
    const list = schema ? rows(schema, '').filter(({ path }) => path !== '') : [];
    return `### ${name}\n\n${list.length === 0 ? 'It has no settings.' : markdownTable(list)}\n`;
  });
  return `<!-- Generated from src/config/server.ts by "npm run docs". Changes belong there. -->

# Configuration

Parley reads the file given by \`--config\` or \`PARLEY_CONFIG\`, else \`parley.yaml\` in the current folder. Without one it serves
\`localhost\`. Every setting has a default, and an empty file is right.

\`parley config check\` looks for mistakes, \`parley config show [--host DOMAIN]\` prints what holds and where each value was said.
The server reads the file again at \`parley reload\` or SIGHUP, and keeps what it has when the file is wrong. Settings marked
*(restart)* hold from the next start on.

## Values

| Type | Written as |
|---|---|
| duration | \`500ms\`, \`30s\`, \`5m\`, \`12h\`, \`7d\`, \`2w\`, \`1y\`, or several together: \`1h30m\` |
| bytes | \`10kB\` (thousands), \`256KiB\` (1024s), or a number |
| port | \`5222\`; \`0\` for a free one; \`null\` for none; \`{ port: 5222, address: 192.0.2.1 }\` for an address of its own |
| path | absolute, or from the folder of the configuration file |
| secret | text; \`file:PATH\` is read from that file, \`credential:NAME\` from systemd's credentials; never shown by any command |
| URL | may also be given by \`file:PATH\`; passwords in it are never shown |

\`\${NAME}\` in any text stands for a variable of the environment, \`\${NAME:-text}\` for the text where there is none, and \`$\${\` for
\`\${\` itself.

## Environment

Every setting can be given by a variable: \`PARLEY_\`, then its path in capitals, with \`__\` between groups and \`_\` for \`-\`. It
overrides the file. Lists may be written with commas; an empty variable counts as none.

\`\`\`sh
PARLEY_HOSTS=example.org,example.net
PARLEY_HOSTS__EXAMPLE_NET__REGISTRATION=closed
PARLEY_DATABASE=postgres://parley@db/parley
PARLEY_LISTEN__C2S=5222
PARLEY_MODULES__VERSION=false
\`\`\`

## All settings

${markdownTable(all)}

## Beneath a host

${names.map((name) => `\`${name}\``).join(', ')} may also stand beneath a host in \`hosts\`, and then hold for that host: groups are joined
with the global ones, everything else replaces them. These stand only there:

${markdownTable(own)}

## Modules

Each is switched off by \`false\` in its place in \`modules\`, or gets its settings there.

${moduleParts.join('\n')}`;
}

const WIDTH = 110;

function wrap(text: string, prefix: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && prefix.length + line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((part) => `${prefix}${part}`);
}

/** Settings that have no default of their own are shown with this. */
const examples: Readonly<Record<string, unknown>> = { 'listen.address': ['127.0.0.1', '::1'] };

function exampleLines(schema: z.core.$ZodType, path: readonly string[]): string[] {
  const seen = look(schema);
  const indent = '  '.repeat(Math.max(0, path.length - 1));
  const name = path.at(-1)!;
  const about =
    seen.meta.description === undefined
      ? []
      : wrap(`${seen.meta.description}${seen.meta.restart ? ' (restart)' : ''}`, `${indent}# `);
  if (seen.type === 'object' && seen.shape) {
    const inside = Object.entries(seen.shape).flatMap(([child, type]) => exampleLines(type, [...path, child]));
    return [...about, `#${indent}${name}:`, ...inside];
  }
  const value = seen.fallback ?? examples[path.join('.')] ?? null;
  const text = stringify(value, { flowCollectionPadding: false, collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
  return [...about, `#${indent}${name}: ${text}`];
}

/** config/parley.example.yaml: every setting with its default, after a `#` that is taken away to change it. */
export function exampleFile(): string {
  const sections = Object.entries(serverSchema.shape)
    .filter(([name]) => name !== 'hosts')
    .map(([name, schema]) => exampleLines(schema, [name]).join('\n'));
  return `# yaml-language-server: $schema=./parley.schema.json
#
# Every setting of Parley with its default. To change one, copy its line to your parley.yaml without the first "#", together
# with the line of the group that it stands in. docs/configuration.md has the types, and the settings of modules.
# Made from src/config/server.ts by "npm run docs".

# The domains served. Settings beneath a host override the global ones of the same name:
#
#   hosts:
#     example.org: {}
#     example.net:
#       registration: closed
#       modules: { version: false }
#     guests.example.org:
#       authentication: anonymous
hosts:
  localhost: {}

${sections.join('\n\n')}
`;
}
