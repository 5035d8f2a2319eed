// Data forms (XEP-0004) with their context (XEP-0068): built from typed fields, read back into values.
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from './errors.ts';
import { Jid } from './jid.ts';
import { NS } from './ns.ts';

export type FormKind = 'form' | 'submit' | 'result' | 'cancel';
export type FieldType =
  | 'boolean'
  | 'fixed'
  | 'hidden'
  | 'jid-multi'
  | 'jid-single'
  | 'list-multi'
  | 'list-single'
  | 'text-multi'
  | 'text-private'
  | 'text-single';

export interface Choice {
  readonly value: string;
  readonly label?: string;
}

/** One field of a form, and how its values on the wire become a `T` and back. */
export interface Field<T> {
  /** Undefined where the form does not say: a line of text (XEP-0004 3.3), or what is registered for the field's name (XEP-0068). */
  readonly type: FieldType | undefined;
  readonly label: string | undefined;
  readonly required: boolean;
  readonly desc: string | undefined;
  readonly choices: readonly Choice[];
  /** What its values are (XEP-0122), where clients are to be told. */
  readonly range?: { readonly min: number | undefined; readonly max: number | undefined };
  encode(value: T): readonly string[];
  /** undefined for values that are not allowed. */
  decode(values: readonly string[]): T | undefined;
}

export interface FieldOptions {
  /** A submission without it is refused. */
  readonly required?: boolean;
  /** A sentence that explains the field. */
  readonly desc?: string;
}

/** A form: its context (FORM_TYPE), what people read above it, and its fields by `var`. */
export interface Form<F extends Fields> {
  readonly formType?: string;
  readonly title?: string;
  readonly instructions?: string;
  readonly fields: F;
}
export type Fields = Readonly<Record<string, Field<unknown>>>;
export type Values<F extends Fields> = { readonly [K in keyof F]?: F[K] extends Field<infer T> ? T : never };

function field<T>(
  type: FieldType,
  label: string | undefined,
  options: FieldOptions & { readonly choices?: readonly Choice[] },
  encode: (value: T) => readonly string[],
  decode: (values: readonly string[]) => T | undefined,
): Field<T> {
  const { required = false, desc, choices = [] } = options;
  return { type, label, required, desc, choices, encode, decode };
}

const one = (values: readonly string[]): string | undefined => (values.length <= 1 ? (values[0] ?? '') : undefined);

/** A line of text. */
export function textField(label: string, options: FieldOptions = {}): Field<string> {
  return field('text-single', label, options, (value) => [value], one);
}

/** A line of text that is not shown. */
export function passwordField(label: string, options: FieldOptions = {}): Field<string> {
  return field('text-private', label, options, (value) => [value], one);
}

/** Text of several lines, one value a line; `\n` between them in the value. */
export function linesField(label: string, options: FieldOptions = {}): Field<string> {
  return field(
    'text-multi',
    label,
    options,
    (value) => (value === '' ? [] : value.split(/\r\n|\r|\n/)),
    (values) => values.join('\n'),
  );
}

/** Something that the form carries and nobody is shown. */
export function hiddenField(): Field<string> {
  return field<string>('hidden', undefined, {}, (value) => [value], one);
}

/** Yes or no; XEP-0004 3.3: true and false are other words for 1 and 0, which some clients, as Conversations, do not understand. */
export function booleanField(label: string, options: FieldOptions = {}): Field<boolean> {
  return field(
    'boolean',
    label,
    options,
    (value) => [value ? '1' : '0'],
    (values) => booleans.get(one(values) ?? 'none'),
  );
}
const booleans: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
  ['', false],
]);

/** A whole number in a line of text. */
export function integerField(
  label: string,
  options: FieldOptions & { readonly min?: number; readonly max?: number } = {},
): Field<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options;
  return field(
    'text-single',
    label,
    options,
    (value) => [String(value)],
    (values) => {
      const text = one(values)?.trim() ?? '';
      const value = Number(text);
      return /^[+-]?\d+$/.test(text) && value >= min && value <= max ? value : undefined;
    },
  );
}

/** A whole number, of which clients are told between what it lies (XEP-0122). */
export function rangeField(
  label: string,
  { min, max, ...options }: FieldOptions & { readonly min?: number; readonly max?: number },
): Field<number> {
  const within = { ...(min !== undefined && { min }), ...(max !== undefined && { max }) };
  return { ...integerField(label, { ...options, ...within }), range: { min, max } };
}

/** One address. */
export function jidField(label: string, options: FieldOptions = {}): Field<Jid> {
  return field(
    'jid-single',
    label,
    options,
    (value) => [value.full],
    (values) => (values.length === 1 ? Jid.parse(values[0]!) : undefined),
  );
}

/** Addresses; XEP-0004 3.3: one that is named twice counts once. */
export function jidsField(label: string, options: FieldOptions = {}): Field<readonly Jid[]> {
  return field(
    'jid-multi',
    label,
    options,
    (value) => value.map((jid) => jid.full),
    (values) => {
      const jids = new Map<string, Jid>();
      for (const text of values) {
        const jid = Jid.parse(text);
        if (jid === undefined) return undefined;
        jids.set(jid.full, jid);
      }
      return [...jids.values()];
    },
  );
}

/** One of several; the choices by their value, with what people read. */
export function choiceField<const V extends string>(
  label: string,
  choices: Readonly<Record<V, string>>,
  options: FieldOptions = {},
): Field<V> {
  return field<V>(
    'list-single',
    label,
    { ...options, choices: choicesOf(choices) },
    (value) => [value],
    (values) => (values.length === 1 && Object.hasOwn(choices, values[0]!) ? (values[0] as V) : undefined),
  );
}

/** Any of several, each once; the choices by their value, with what people read. */
export function choicesField<const V extends string>(
  label: string,
  choices: Readonly<Record<V, string>>,
  options: FieldOptions = {},
): Field<readonly V[]> {
  return field<readonly V[]>(
    'list-multi',
    label,
    { ...options, choices: choicesOf(choices) },
    (value) => value,
    (values) => (values.every((value) => Object.hasOwn(choices, value)) ? [...new Set(values as V[])] : undefined),
  );
}

function choicesOf(choices: Readonly<Record<string, string>>): Choice[] {
  return Object.entries(choices).map(([value, label]) => ({ value, label }));
}

/** The form to be filled in, with the values it has now. */
export function formElement<F extends Fields>(form: Form<F>, values: Values<F> = {}): Element {
  return build('form', form, values);
}

/** Values in the form's context, as data: a field without a value is left out. */
export function resultElement<F extends Fields>(form: Form<F>, values: Values<F>): Element {
  return build('result', form, values);
}

/** A filled-in form. */
export function submitElement<F extends Fields>(form: Form<F>, values: Values<F>): Element {
  return build('submit', form, values);
}

function build<F extends Fields>(kind: FormKind, form: Form<F>, values: Values<F>): Element {
  const children: Element[] = [];
  const asks = kind === 'form';
  if (kind !== 'submit' && form.title !== undefined) children.push(text('title', form.title));
  if (asks && form.instructions !== undefined) children.push(text('instructions', form.instructions));
  if (form.formType !== undefined) {
    children.push(el('field', NS.dataForms, { var: 'FORM_TYPE', type: 'hidden' }, text('value', form.formType)));
  }
  for (const [name, spec] of Object.entries(form.fields)) {
    const value: unknown = values[name];
    if (value === undefined && !asks) continue;
    const attrs = { var: name, type: spec.type, label: kind === 'submit' ? undefined : spec.label };
    const parts: Element[] = [];
    if (asks && spec.desc !== undefined) parts.push(text('desc', spec.desc));
    if (asks && spec.required) parts.push(el('required', NS.dataForms));
    if (asks && spec.range !== undefined) parts.push(validation(spec.range));
    if (value !== undefined) parts.push(...spec.encode(value).map((line) => text('value', line)));
    if (asks) {
      parts.push(
        ...spec.choices.map((choice) =>
          el('option', NS.dataForms, { label: choice.label }, text('value', choice.value)),
        ),
      );
    }
    children.push(el('field', NS.dataForms, attrs, ...parts));
  }
  return el('x', NS.dataForms, { type: kind }, ...children);
}

/** XEP-0122 3.1, 3.2.3: whole numbers. */
function validation({ min, max }: { readonly min: number | undefined; readonly max: number | undefined }): Element {
  const range = el('range', NS.formValidation, { min: min?.toString(), max: max?.toString() });
  return el('validate', NS.formValidation, { datatype: 'xs:integer' }, range);
}

/** A table of results (XEP-0004 3.4): the columns by `var` with their headings, and a row of texts for each item. */
export function tableElement<C extends string>(
  title: string,
  columns: Readonly<Record<C, string>>,
  rows: readonly Readonly<Record<C, string>>[],
): Element {
  const names = Object.keys(columns) as C[];
  const head = names.map((name) => el('field', NS.dataForms, { var: name, type: 'text-single', label: columns[name] }));
  const cells = (row: Readonly<Record<C, string>>): Element[] =>
    names.map((name) => el('field', NS.dataForms, { var: name }, text('value', row[name])));
  return el(
    'x',
    NS.dataForms,
    { type: 'result' },
    text('title', title),
    el('reported', NS.dataForms, undefined, ...head),
    ...rows.map((row) => el('item', NS.dataForms, undefined, ...cells(row))),
  );
}

function text(name: string, content: string): Element {
  return content === '' ? el(name, NS.dataForms) : el(name, NS.dataForms, undefined, content);
}

/** What a form is for (XEP-0068): the one value of its FORM_TYPE, hidden unless the form is a submission. */
export function formTypeOf(x: Element): string | undefined {
  const context = x.getChildren('field').find((child) => child.attrs.var === 'FORM_TYPE');
  const { type } = context?.attrs ?? {};
  if (context === undefined || !(type === 'hidden' || (type === undefined && x.attrs.type === 'submit'))) {
    return undefined;
  }
  return context.getChildText('value');
}

/** The data form inside an element, of that FORM_TYPE if one is given. */
export function findForm(parent: Element, formType?: string): Element | undefined {
  return parent.getChildren('x', NS.dataForms).find((x) => formType === undefined || formTypeOf(x) === formType);
}

/** The values of every field of a form, as they are on the wire. The first field of a name counts. */
export function rawValues(x: Element): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, readonly string[]>();
  for (const child of x.getChildren('field')) {
    const name = child.attrs.var;
    if (name === undefined || values.has(name)) continue;
    values.set(
      name,
      child.getChildren('value').map((value) => value.getText()),
    );
  }
  return values;
}

/**
 * The values of a submitted form. What it leaves out is left out here too (XEP-0004 3.5), what the form does not know
 * is ignored (3.1).
 * @throws StanzaError `bad-request` when it is no submission of this form, `not-acceptable` for a value that is not
 *   allowed and a required one that is missing (XEP-0004 4).
 */
export function readForm<F extends Fields>(form: Form<F>, x: Element): Values<F> {
  if (!x.is('x', NS.dataForms) || x.attrs.type !== 'submit') throw new StanzaError('bad-request', 'not a submission');
  const context = formTypeOf(x);
  if (context !== undefined && form.formType !== undefined && context !== form.formType) {
    throw new StanzaError('bad-request', `this is no form of type ${context}`);
  }
  const raw = rawValues(x);
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(form.fields)) {
    const given = raw.get(name);
    const empty = given === undefined || given.every((value) => value === '');
    if (spec.required && empty) throw new StanzaError('not-acceptable', `"${spec.label ?? name}" is required`);
    if (given === undefined) continue;
    const value = spec.decode(given);
    // XEP-0004 3.6: nothing in a field that can hold no nothing (an address, a number, a choice) is no value.
    if (value === undefined && empty) continue;
    if (value === undefined) throw new StanzaError('not-acceptable', `"${spec.label ?? name}" has no such value`);
    values[name] = value;
  }
  return values as Values<F>;
}
