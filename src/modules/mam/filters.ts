// What a query of an archive asks for (XEP-0313 4.1), and the form that says what it may ask for. The same for accounts and rooms.
import type { ArchiveQuery } from '../../storage/ports.ts';
import { type Element, el } from '../../xml/element.ts';
import { formTypeOf, rawValues } from '../../xmpp/dataform.ts';
import { parseDateTime } from '../../xmpp/datetime.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** XEP-0431: the field of a search in the full text. */
const fullText = `{${NS.fullText}}fulltext`;

export type Filter = Omit<ArchiveQuery, 'after' | 'before' | 'backwards' | 'limit'>;

/** What is asked for, before there are pages. */
export interface FilterOptions {
  /** The languages that searches understand (RFC 5646); without any, there is no search. */
  readonly languages: readonly string[];
}

/**
 * Reads the form inside a `<query/>`; everything, where there is none.
 * @throws StanzaError `bad-request` for what is no such form or no such value, `feature-not-implemented` for a field that is not
 *   known (XEP-0313 4.1.5)
 */
export function parseFilter(query: Element, options: FilterOptions): Filter {
  const form = query.getChild('x', NS.dataForms);
  if (form === undefined) return {};
  if (form.attrs.type !== 'submit' || formTypeOf(form) !== NS.mam) {
    throw new StanzaError('bad-request', `this is no submitted form of type ${NS.mam}`);
  }
  const filter: Filter = {};
  for (const [name, values] of rawValues(form)) {
    if (name === 'FORM_TYPE') continue;
    const read = name === fullText && options.languages.length === 0 ? undefined : fields.get(name);
    if (read === undefined) throw new StanzaError('feature-not-implemented', `there is no field "${name}"`);
    // XEP-0004 3.5: a field that was left empty
    if (values.every((value) => value === '')) continue;
    Object.assign(filter, read(values, options));
  }
  return filter;
}

type ReadField = (values: readonly string[], options: FilterOptions) => Filter;

const fields: ReadonlyMap<string, ReadField> = new Map<string, ReadField>([
  ['with', withParty],
  ['start', (values) => ({ start: time('start', values) })],
  ['end', (values) => ({ end: time('end', values) })],
  ['before-id', (values) => ({ beforeId: one('before-id', values) })],
  ['after-id', (values) => ({ afterId: one('after-id', values) })],
  ['ids', (values) => ({ ids: [...new Set(values)] })],
  ['include-groupchat', includeGroupchat],
  [fullText, (values, { languages }) => ({ search: { text: one(fullText, values), languages } })],
]);

/** 4.1.1: a bare address stands for all its resources. */
function withParty(values: readonly string[]): Filter {
  const jid = Jid.parse(one('with', values));
  if (jid === undefined) throw wrong('with', 'an address');
  return { with: jid.bare, resource: jid.isBare ? undefined : jid.resource };
}

/** 4.1.4: no messages of rooms are in archives of accounts, and with and without them is the same. */
function includeGroupchat(values: readonly string[]): Filter {
  if (!/^(?:true|false|1|0)$/.test(one('include-groupchat', values))) throw wrong('include-groupchat', 'true or false');
  return {};
}

function one(name: string, values: readonly string[]): string {
  if (values.length > 1) throw wrong(name, 'one value');
  return values[0]!;
}

function time(name: string, values: readonly string[]): number {
  const at = parseDateTime(one(name, values).trim());
  if (at === undefined) throw wrong(name, 'a date and time (XEP-0082)');
  return at;
}

function wrong(name: string, what: string): StanzaError {
  return new StanzaError('bad-request', `"${name}" is not ${what}`);
}

/** The fields that a query may have (XEP-0313 4.1.5). None is required; any text may be given as an id. */
export function filterForm({ languages }: FilterOptions): Element {
  const field = (type: string, name: string, ...children: Element[]): Element =>
    el('field', NS.dataForms, { type, var: name }, ...children);
  const open = el('validate', NS.formValidation, { datatype: 'xs:string' }, el('open', NS.formValidation));
  const shown = [
    field('hidden', 'FORM_TYPE', el('value', NS.dataForms, undefined, NS.mam)),
    field('jid-single', 'with'),
    field('text-single', 'start'),
    field('text-single', 'end'),
    field('text-single', 'before-id'),
    field('text-single', 'after-id'),
    field('list-multi', 'ids', open),
    field('boolean', 'include-groupchat'),
  ];
  if (languages.length > 0) shown.push(field('text-single', fullText));
  return el('x', NS.dataForms, { type: 'form' }, ...shown);
}
