// Reads scenarios: plain text in the form of a play. docs/testing.md explains how to write one.
//
// A file has an optional prologue, which every scene begins with, and scenes (`Scene: what happens`). A line that is indented
// deeper than a statement belongs to it: more XML, or the lines of a block. `#` begins a comment; a comment that opens with
// a specification and its sections says what the following lines check. `for each type: chat, normal` makes a scene of each.

export interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
  /** Lines indented deeper: more of the same statement, or the statements of a block. */
  readonly inner: readonly Line[];
}

export interface Reference {
  /** `RFC 6121`, `XEP-0199`. */
  readonly document: string;
  readonly section: string;
}

export interface Scene {
  readonly file: string;
  readonly title: string;
  /** The title as it stands in the file, before `for each` made several of it. */
  readonly name: string;
  readonly number: number;
  readonly lines: readonly Line[];
  readonly references: readonly Reference[];
  /** The worlds it is played in; all of them when undefined. */
  readonly worlds: readonly string[] | undefined;
}

interface RawLine {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
}

/** @throws Error when the file is not in the form described above */
export function readScenario(file: string, source: string): Scene[] {
  const prologue: RawLine[] = [];
  const scenes: (RawScene & { readonly lines: RawLine[] })[] = [];
  for (const [i, text] of source.split('\n').entries()) {
    if (text.trim() === '') continue;
    const line = { number: i + 1, indent: text.length - text.trimStart().length, text: text.trim() };
    const title = line.indent === 0 ? /^Scene: (.+)$/.exec(line.text)?.[1] : undefined;
    if (title !== undefined) scenes.push({ title, name: title, number: line.number, lines: [] });
    else (scenes.at(-1)?.lines ?? prologue).push(line);
  }
  if (scenes.length === 0) throw new Error(`${file} has no scenes`);
  const titles = new Set<string>();
  return scenes
    .flatMap((scene) => variants(scene, prologue))
    .map(({ title, name, number, lines }) => {
      if (titles.has(title)) throw new Error(`${file}:${number} there are two scenes "${title}"`);
      titles.add(title);
      const statements = nest(lines.filter((line) => !line.text.startsWith('#')));
      return {
        file,
        title,
        name,
        number,
        lines: statements.filter((line) => !line.text.startsWith('worlds:')),
        references: lines.flatMap((line) => referencesOf(line.text)),
        worlds: worldsOf(statements),
      };
    });
}

interface RawScene {
  readonly title: string;
  readonly name: string;
  readonly number: number;
  readonly lines: readonly RawLine[];
}

/**
 * One scene for every combination of what its `for each` lines list; a name in braces becomes the value. Names that go together
 * are parted by `|`, and their values stand below, a row each.
 */
function variants(scene: RawScene, prologue: readonly RawLine[]): RawScene[] {
  const lines = [...prologue, ...scene.lines];
  const kept: RawLine[] = [];
  let made: RawScene[] = [{ ...scene, lines: [] }];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const [, names, values] = /^for each ([^:]+):(.*)$/.exec(line.text) ?? [];
    if (names === undefined) {
      kept.push(line);
      continue;
    }
    const rows = names.includes('|') ? [] : values!.split(',');
    while (names.includes('|') && (lines[i + 1]?.indent ?? 0) > line.indent) rows.push(lines[++i]!.text);
    const keys = cells(names);
    made = made.flatMap((one) => rows.map((row) => withValues(one, keys, cells(row))));
  }
  return made.map((one) => fillIn(one, kept));
}

const cells = (row: string): string[] => row.split('|').map((cell) => cell.trim());

interface Variant extends RawScene {
  readonly values?: readonly (readonly [name: string, value: string])[];
}

function withValues(scene: Variant, names: readonly string[], values: readonly string[]): Variant {
  if (names.length !== values.length)
    throw new Error(`"${values.join(' | ')}" has not a value for each of ${names.join(', ')}`);
  const pairs = names.map((name, i) => [`{${name}}`, values[i]!] as const);
  const title = replaceAll(scene.title, pairs);
  // a title that mentions no name is told apart by the value
  const distinct = title === scene.title ? `${title} (${values[0]})` : title;
  return { ...scene, title: distinct, values: [...(scene.values ?? []), ...pairs] };
}

function fillIn({ values = [], ...scene }: Variant, lines: readonly RawLine[]): RawScene {
  return { ...scene, lines: lines.map((line) => ({ ...line, text: replaceAll(line.text, values) })) };
}

function replaceAll(text: string, pairs: readonly (readonly [string, string])[]): string {
  return pairs.reduce((result, [name, value]) => result.replaceAll(name, value), text);
}

function nest(lines: readonly RawLine[]): Line[] {
  const nested: Line[] = [];
  for (let i = 0; i < lines.length; ) {
    const first = lines[i]!;
    let end = i + 1;
    while (end < lines.length && lines[end]!.indent > first.indent) end++;
    nested.push({ number: first.number, indent: first.indent, text: first.text, inner: nest(lines.slice(i + 1, end)) });
    i = end;
  }
  return nested;
}

/** A statement with everything that belongs to it, as one text. */
export function wholeText(line: Line): string {
  return [line.text, ...line.inner.map(wholeText)].join('\n');
}

/** The lines that belong to a statement, indented as they were; for settings in YAML. */
export function innerText(line: Line): string {
  return line.inner.map((inner) => `${' '.repeat(inner.indent)}${inner.text}\n${innerText(inner)}`).join('');
}

function worldsOf(lines: readonly Line[]): readonly string[] | undefined {
  const line = lines.findLast((one) => one.text.startsWith('worlds:'));
  return line?.text
    .slice('worlds:'.length)
    .split(',')
    .map((name) => name.trim());
}

/** `# RFC 6121 8.5.2.1.1, 8.5.2.2.1: why` names two sections. */
function referencesOf(comment: string): Reference[] {
  // several specifications are parted by semicolons, and what follows a colon is prose
  const list = /^#\s*((?:RFC ?\d|XEP-\d).*)$/.exec(comment)?.[1]?.split(/:\s/)[0] ?? '';
  return list.split(/;\s*/).flatMap((part) => {
    const found = /^(RFC ?\d+|XEP-\d{4}|XML 1\.0),?\s+(.+)$/.exec(part);
    const document = found?.[1]?.replace(/^RFC ?/, 'RFC ');
    if (found === null || document === undefined) return [];
    return found[2]!.split(/,\s*/).map((section) => ({ document, section }));
  });
}
