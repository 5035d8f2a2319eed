// What a parser tells, in a form that can be compared.
import { Element, type Node } from '../../src/xml/element.ts';
import { Parser, type ParserLimits, type ParserOptions } from '../../src/xml/parser.ts';
import { SaxesOracle } from './saxes-oracle.ts';

/** A tree of plain values: attributes sorted, neighbouring texts joined. */
export interface Plain {
  readonly name: string;
  readonly ns: string | null;
  readonly attrs: readonly (readonly [string, string])[];
  readonly children: readonly (Plain | string)[];
}

export type Told =
  | { readonly kind: 'header'; readonly root: Plain }
  | { readonly kind: 'element'; readonly element: Plain }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly condition?: string };

export const HEADER =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>";
export const SERVER_HEADER = HEADER.replace('jabber:client', 'jabber:server');

export function plain(element: Element): Plain {
  return {
    name: element.name,
    ns: element.ns,
    attrs: Object.keys(element.attrs)
      .sort()
      .map((key) => [key, element.attrs[key]!] as const),
    children: joined(element.children),
  };
}

function joined(nodes: readonly Node[]): readonly (Plain | string)[] {
  const children: (Plain | string)[] = [];
  for (const node of nodes) {
    const last = children.at(-1);
    if (node instanceof Element) children.push(plain(node));
    else if (typeof node !== 'string') throw new Error('raw XML cannot be compared');
    else if (typeof last === 'string') children[children.length - 1] = last + node;
    else if (node !== '') children.push(node);
  }
  return children;
}

/** Writes the chunks one after another and returns all that was told. */
export function tell(
  chunks: Iterable<Buffer | string>,
  limits: Partial<ParserLimits> = {},
  options: ParserOptions = {},
): Told[] {
  const told: Told[] = [];
  const parser = new Parser(
    {
      onHeader: ({ name, ns, attrs }) => {
        told.push({ kind: 'header', root: plain(new Element(name, ns, attrs, [])) });
      },
      onElement: (element) => {
        told.push({ kind: 'element', element: plain(element) });
      },
      onEnd: () => {
        told.push({ kind: 'end' });
      },
      onError: (condition) => {
        told.push({ kind: 'error', condition });
      },
    },
    limits,
    options,
  );
  for (const chunk of chunks) {
    if (typeof chunk === 'string') parser.writeText(chunk);
    else parser.write(chunk);
  }
  return told;
}

/** The same from saxes; errors have no condition there. */
export function tellByOracle(text: string): Told[] {
  const oracle = new SaxesOracle();
  oracle.write(text);
  return oracle.events.map(({ kind, element }) => {
    if (kind === 'header') return { kind, root: plain(element!) };
    return kind === 'element' ? { kind, element: plain(element!) } : { kind };
  });
}

/** Each byte by itself. */
export function byteByByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, n) => bytes.subarray(n, n + 1));
}
