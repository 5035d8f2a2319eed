// Every command of the registry as an ad-hoc command (XEP-0050): the form is made of what its arguments are, and the result is shown as data. What
// XEP-0133 has names for is offered under those as well.
import { z } from 'zod';
import type { MaybePromise } from '../../base/maybe.ts';
import { adminCommands } from '../../core/admin-commands.ts';
import type { AnyCommand } from '../../core/commands.ts';
import type { Command, CommandResult } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import {
  booleanField,
  choiceField,
  type Field,
  formElement,
  jidField,
  linesField,
  passwordField,
  rangeField,
  readForm,
  tableElement,
  textField,
} from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Desks } from './desk.ts';

/** Commands that are for another place. */
const leftOut: ReadonlySet<string> = new Set([
  // it takes the lines of a file
  'user batch',
]);

/** Commands that are for those who run the whole server. */
const wide: ReadonlySet<string> = new Set([
  'status',
  'reload',
  'stop',
  'restart',
  'drain',
  'cluster status',
  'log level',
  's2s close',
  'token create',
  'token ls',
  'token revoke',
]);

/** Commands that moderators may run, too. */
const forModerators: ReadonlySet<string> = new Set(['report ls', 'report show', 'report close']);

/** Characters of an argument from which on it is a text of several lines. */
const LONG = 1000;

export function genericCommands(desks: Desks): readonly Command[] {
  return adminCommands.filter(({ name }) => !leftOut.has(name)).map((command) => offered(command, desks));
}

function offered(command: AnyCommand, desks: Desks): Command {
  let made: CommandForm | undefined;
  // a hundred forms take a while, and most are never asked for
  const form = (): CommandForm => {
    made ??= formOf(command);
    return made;
  };
  const isAsking = Object.keys(command.args.shape).length > 0 || command.readOnly !== true;
  return {
    target: 'host',
    node: nodeOf(command.name),
    name: `${command.name}: ${command.summary}`,
    mayRun: ({ iq }) => mayRun(command.name, iq.from, desks),
    ...(isAsking && { form: () => formElement(form(), form().values) }),
    async run(request, submitted) {
      const desk = await desks.of(request);
      const args = submitted === undefined ? {} : argumentsOf(command, form(), submitted);
      return resultOf(command, await desk.run(command.name, args));
    },
  };
}

function mayRun(name: string, who: Jid, desks: Desks): MaybePromise<boolean> {
  if (wide.has(name)) return desks.isOperator(who);
  return desks.mayUse(who, forModerators.has(name) ? 'moderate' : 'administer');
}

const nodeOf = (name: string): string => `${NS.parleyAdmin}:${name.replaceAll(' ', '-')}`;

interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly kind?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

interface CommandForm {
  readonly formType: string;
  readonly title: string;
  readonly instructions: string;
  readonly fields: Readonly<Record<string, Field<never>>>;
  readonly values: Readonly<Record<string, never>>;
}

function propertiesOf({ args }: AnyCommand): readonly (readonly [string, Property, isRequired: boolean])[] {
  const { properties = {}, required = [] } = z.toJSONSchema(args, { io: 'input', unrepresentable: 'any' });
  return Object.entries(properties).map(([name, property]) => [name, property as Property, required.includes(name)]);
}

function formOf(command: AnyCommand): CommandForm {
  const fields: Record<string, Field<unknown>> = {};
  const values: Record<string, unknown> = {};
  for (const [name, property, required] of propertiesOf(command)) {
    fields[name] = fieldOf(name, property, required) as Field<unknown>;
    if (property.default !== undefined && property.type !== 'array') values[name] = property.default;
  }
  const form = { formType: NS.parleyAdmin, title: command.name, instructions: `${command.summary}.`, fields, values };
  return form as unknown as CommandForm;
}

function fieldOf(name: string, property: Property, required: boolean): unknown {
  const label = property.description ?? name;
  const options = { required };
  if (property.enum !== undefined) {
    return choiceField(label, Object.fromEntries(property.enum.map((value) => [value, value])), options);
  }
  if (property.kind === 'secret') return passwordField(label, options);
  if (property.kind === 'jid') return jidField(label, options);
  switch (property.type) {
    case 'boolean':
      return booleanField(label, options);
    case 'integer':
    case 'number': {
      const { minimum: min = 0, maximum: max = Number.MAX_SAFE_INTEGER } = property;
      return rangeField(label, { ...options, min, ...(max < Number.MAX_SAFE_INTEGER && { max }) });
    }
    case 'array':
      return linesField(label, options);
    default:
      return (property.maxLength ?? 0) >= LONG ? linesField(label, options) : textField(label, options);
  }
}

/** As the command takes them: what was left empty is not said. */
function argumentsOf(command: AnyCommand, form: CommandForm, submitted: Element): Record<string, unknown> {
  const values: Readonly<Record<string, unknown>> = readForm(form, submitted);
  const args: Record<string, unknown> = {};
  for (const [name, property] of propertiesOf(command)) {
    const value = values[name];
    if (value === undefined || value === '') continue;
    if (value instanceof Jid) args[name] = value.full;
    else if (property.type === 'array')
      args[name] = String(value)
        .split('\n')
        .filter((line) => line !== '');
    else args[name] = value;
  }
  const checked = command.args.safeParse(args);
  if (!checked.success) {
    const [first] = checked.error.issues;
    throw new StanzaError('not-acceptable', `${first!.path.join('.')}: ${first!.message}`);
  }
  return args;
}

type Row = Readonly<Record<string, unknown>>;

/** What people read, where it is one line; else, and beside it, the data. */
function resultOf(command: AnyCommand, result: object): CommandResult {
  const text = command.render(result);
  const note = text.includes('\n') ? {} : { note: text };
  const entries = Object.entries(result).filter(([, value]) => value !== undefined);
  const lists = entries.filter(([, value]) => isTable(value));
  if (lists.length === 1 && entries.length === 1)
    return { ...note, form: tableOf(command.name, lists[0]![1] as Row[]) };
  const fields = entries.map(([name, value]) => {
    const lines = Array.isArray(value) ? value.map(shown) : shown(value).split('\n');
    const type = lines.length > 1 || Array.isArray(value) ? 'text-multi' : 'text-single';
    return el(
      'field',
      NS.dataForms,
      { var: name, type, label: name },
      ...lines.map((line) => el('value', NS.dataForms, undefined, line)),
    );
  });
  const context = el('value', NS.dataForms, undefined, NS.parleyAdmin);
  const head = el('field', NS.dataForms, { var: 'FORM_TYPE', type: 'hidden' }, context);
  const title = el('title', NS.dataForms, undefined, command.name);
  return { ...note, form: el('x', NS.dataForms, { type: 'result' }, title, head, ...fields) };
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function isTable(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((row) => typeof row === 'object' && row !== null);
}

function tableOf(title: string, rows: readonly Row[]): Element {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const columns = Object.fromEntries(names.map((name) => [name, name]));
  const cells = (row: Row): Record<string, string> =>
    Object.fromEntries(names.map((name) => [name, row[name] === undefined ? '' : shown(row[name])]));
  return tableElement(title, columns, rows.map(cells));
}
