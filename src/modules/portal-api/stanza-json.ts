// The JSON form of the stanzas that tools send: messages with a text, and the requests for ping, version and disco.
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import { ApiError } from './errors.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What may be asked, by the name of the field that asks it. */
const requests: Readonly<Record<string, (value: unknown) => Element>> = {
  ping: () => el('ping', NS.ping),
  version: () => el('query', NS.version),
  disco: (value) => el('query', NS.discoInfo, { node: nodeOf(value) }),
  items: (value) => el('query', NS.discoItems, { node: nodeOf(value) }),
};

/** @throws ApiError for what is none, or of another kind */
export function stanzaFromJson(text: string): Element {
  const given = objectOf(text);
  const { kind, type, id, to, from } = given;
  const attrs = { type: textOf(type), id: textOf(id), to: textOf(to), from: textOf(from) };
  if (kind === 'message') {
    const children = ['subject', 'body', 'thread'].flatMap((name) => {
      const value = textOf(given[name]);
      return value === undefined ? [] : [el(name, null, undefined, value)];
    });
    return el('message', null, attrs, ...children);
  }
  if (kind !== 'iq') throw new ApiError('bad-request', '"kind" is "iq" or "message"');
  const asked = Object.keys(requests).filter((name) => given[name] !== undefined && given[name] !== false);
  if (asked.length !== 1 || type !== 'get') {
    throw new ApiError(
      'feature-not-implemented',
      `in JSON one of these may be asked: ${Object.keys(requests).join(', ')}; send XML for others`,
    );
  }
  return el('iq', null, attrs, requests[asked[0]!]!(given[asked[0]!]));
}

/** The answer. */
export function jsonOf(iq: Element): object {
  const { type, id, from, to } = iq.attrs;
  const head = { kind: 'iq', type, id, from, to };
  const error = iq.getChild('error');
  if (type === 'error' && error !== undefined) {
    const condition = error.elements().find(({ name, ns }) => ns === NS.stanzas && name !== 'text')?.name;
    return { ...head, error: { type: error.attrs.type, condition, text: error.getChildText('text', NS.stanzas) } };
  }
  const version = iq.getChild('query', NS.version);
  if (version !== undefined) {
    const said = ['name', 'version', 'os'].map((name) => [name, version.getChildText(name)] as const);
    return { ...head, version: Object.fromEntries(said.filter(([, value]) => value !== undefined)) };
  }
  const info = iq.getChild('query', NS.discoInfo);
  if (info !== undefined) {
    return {
      ...head,
      disco: {
        identities: info.getChildren('identity').map(({ attrs }) => ({ ...attrs })),
        features: info.getChildren('feature').map(({ attrs }) => attrs.var),
      },
    };
  }
  const items = iq.getChild('query', NS.discoItems);
  if (items !== undefined) return { ...head, items: items.getChildren('item').map(({ attrs }) => ({ ...attrs })) };
  return head;
}

function objectOf(text: string): Fields {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  } catch {
    // told below
  }
  throw new ApiError('bad-request', 'this is no object in JSON');
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function nodeOf(value: unknown): string | undefined {
  return textOf(typeof value === 'object' && value !== null ? (value as Fields).node : value);
}
