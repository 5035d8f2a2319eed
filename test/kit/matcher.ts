// The matcher: does a stanza look as the scene says? As a subset (`<`) or exactly (`<=`).
//
// Subset: the name, the namespace, every attribute and every child that are listed must be there; text that is given must be
// equal; more of anything is allowed; the order of children is free. Exact: no other attributes, no other children, the same
// order. In both, namespaces are compared as resolved; `<x xmlns='...' {absent}/>` says that there is no such child (with the same attributes), and
// `x='{absent}'` that there is no such attribute.
import { fillKnown, matchText, type Names } from './template.ts';
import { readXml, type View, viewOf } from './xml-view.ts';

/** The attribute that `{absent}` is written as inside. */
const ABSENT = 'kit-absent';
/** The value of an attribute that must not be there. */
const ABSENT_VALUE = '{absent}';

export interface Expectation {
  /** As it stands in the scene. */
  readonly source: string;
  readonly exact: boolean;
  readonly view: View;
}

/** Reads an expectation; templates stay in it. */
export function expectation(source: string, exact: boolean): Expectation {
  const isHeader = /^(<\?xml[^>]*\?>)?\s*<stream:stream\b[^>]*[^/]>$/.test(source.trim());
  const closed = isHeader ? source.trim().replace(/>$/, '/>') : source;
  return { source, exact, view: viewOf(readXml(closed.replace(/\s\{absent\}/g, ` ${ABSENT}='yes'`))) };
}

/** @returns the names, with those remembered on the way; undefined when the stanza does not match */
export function match({ view, exact }: Expectation, actual: View, names: Names): Names | undefined {
  return matchView(view, actual, names, exact);
}

function matchView(expected: View, actual: View, names: Names, exact: boolean): Names | undefined {
  if (expected.name !== actual.name || expected.ns !== actual.ns) return undefined;
  if (exact && Object.keys(actual.attrs).some((key) => expected.attrs[key] === undefined)) return undefined;
  let known: Names | undefined = names;
  for (const [key, template] of Object.entries(expected.attrs)) {
    const value = actual.attrs[key];
    if (template === ABSENT_VALUE && value === undefined) continue;
    known = value === undefined || template === ABSENT_VALUE ? undefined : matchText(template, value, known);
    if (known === undefined) return undefined;
  }
  if (expected.text !== '' || exact) known = matchText(expected.text, actual.text, known);
  if (known === undefined) return undefined;

  const wanted = expected.children.filter((child) => !isAbsent(child));
  const unwanted = expected.children.filter(isAbsent);
  if (unwanted.some((child) => actual.children.some((one) => isMeant(child, one, names)))) {
    return undefined;
  }
  return exact ? inOrder(wanted, actual.children, known) : anyOrder(wanted, actual.children, known);
}

/** What must not be there: one of that name, with the attributes that are said. */
function isMeant(unwanted: View, one: View, names: Names): boolean {
  if (one.name !== unwanted.name || one.ns !== unwanted.ns) return false;
  return Object.entries(unwanted.attrs).every(
    ([key, template]) => key === ABSENT || (one.attrs[key] !== undefined && fits(template, one.attrs[key], names)),
  );
}

const isAbsent = (view: View): boolean => view.attrs[ABSENT] !== undefined;

function inOrder(wanted: readonly View[], actual: readonly View[], names: Names): Names | undefined {
  if (wanted.length !== actual.length) return undefined;
  let known: Names | undefined = names;
  for (const [i, child] of wanted.entries()) {
    known = matchView(child, actual[i]!, known, true);
    if (known === undefined) return undefined;
  }
  return known;
}

/** Gives each wanted child one of the actual ones to itself. */
function anyOrder(wanted: readonly View[], actual: readonly View[], names: Names): Names | undefined {
  const [first, ...rest] = wanted;
  if (first === undefined) return names;
  for (const [i, candidate] of actual.entries()) {
    const known = matchView(first, candidate, names, false);
    const done = known && anyOrder(rest, actual.toSpliced(i, 1), known);
    if (done !== undefined) return done;
  }
  return undefined;
}

/** Why a stanza does not match, in a few lines. */
export function explain({ view, exact }: Expectation, actual: View, names: Names): string[] {
  return differences(view, actual, names, exact, `<${view.name}>`);
}

function differences(expected: View, actual: View, names: Names, exact: boolean, at: string): string[] {
  if (expected.name !== actual.name || expected.ns !== actual.ns) {
    return [`expected <${expected.name} xmlns='${expected.ns}'>, got <${actual.name} xmlns='${actual.ns}'>`];
  }
  const found: string[] = [];
  for (const [key, template] of Object.entries(expected.attrs)) {
    const value = actual.attrs[key];
    const wanted = fillKnown(template, names);
    if (template === ABSENT_VALUE) {
      if (value !== undefined) found.push(`${at} should have no attribute ${key}; it has '${value}'`);
    } else if (value === undefined) found.push(`${at} has no attribute ${key}; expected '${wanted}'`);
    else if (!fits(template, value, names)) {
      found.push(`${at} has ${key}='${value}'; expected '${wanted}'`);
    }
  }
  if (exact) {
    for (const key of Object.keys(actual.attrs)) {
      if (expected.attrs[key] === undefined)
        found.push(`${at} has an attribute too many: ${key}='${actual.attrs[key]}'`);
    }
  }
  if ((expected.text !== '' || exact) && !fits(expected.text, actual.text, names)) {
    found.push(`${at} has the text "${actual.text}"; expected "${fillKnown(expected.text, names)}"`);
  }
  const left = [...actual.children];
  for (const child of expected.children) {
    const where = `${at}<${child.name}>`;
    const alike = left.filter((one) => one.name === child.name && one.ns === child.ns);
    if (isAbsent(child)) {
      if (alike.some((one) => isMeant(child, one, names))) found.push(`${where} should not be there`);
      continue;
    }
    const match = alike.find((one) => matchView(child, one, names, exact) !== undefined) ?? alike[0];
    if (match === undefined) {
      found.push(`${at} has no child <${child.name} xmlns='${child.ns}'>`);
      continue;
    }
    left.splice(left.indexOf(match), 1);
    found.push(...differences(child, match, names, exact, where));
  }
  if (exact) for (const extra of left) found.push(`${at} has a child too many: <${extra.name} xmlns='${extra.ns}'>`);
  return found;
}

/** As {@link matchText}; a name that is only remembered elsewhere in the same stanza must not stop the explanation. */
function fits(template: string, text: string, names: Names): boolean {
  try {
    return matchText(template, text, names) !== undefined;
  } catch {
    return true;
  }
}
