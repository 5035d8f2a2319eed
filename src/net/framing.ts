// Framing: how one XML stream is written: as one document over bytes (RFC 6120 4), as documents of one element each (RFC 7395 3.3),
// or as elements that somebody else wraps (XEP-0206 2).
import { escapeAttr } from '../xml/escape.ts';
import { NS } from '../xmpp/ns.ts';

/** What a stream carries: clients', servers' or components' stanzas. */
export type ContentNs = typeof NS.client | typeof NS.server | typeof NS.component;

/** Attributes of a stream's header (RFC 6120 4.7); those that are undefined are left out. */
export type HeaderAttrs = Readonly<Record<string, string | undefined>>;

export interface Framing {
  header(attrs: HeaderAttrs): string;
  /** An element that was serialised for a place inside a stream's root. */
  element(xml: string): string;
  /** The end of the stream. */
  readonly end: string;
}

/** One document: its root declares what all its children rely on. */
export function documentFraming(contentNs: ContentNs): Framing {
  // XEP-0220 2.4.1: the prefix is also how servers say that they know dialback
  const dialback = contentNs === NS.server ? ` xmlns:db='${NS.dialback}'` : '';
  const start = `<?xml version='1.0'?><stream:stream xmlns='${contentNs}' xmlns:stream='${NS.stream}'${dialback}`;
  return {
    header: (attrs) => `${start}${attributes(attrs)}>`,
    element: (xml) => xml,
    end: '</stream:stream>',
  };
}

/** A document for every element; there is no root to inherit from. */
export const frameFraming: Framing = {
  header: (attrs) => `<open xmlns='${NS.framing}'${attributes(attrs)}/>`,
  element: standAlone,
  end: `<close xmlns='${NS.framing}'/>`,
};

/** For wrappers: what they say themselves, transports of bodies write; stanzas inherit nothing from them, their prefix aside. */
export const bodyFraming: Framing = {
  header: () => '',
  element: (xml) => (xml.startsWith(STREAM_PREFIX) ? xml : standAlone(xml)),
  end: '',
};

const NAME_END = /[ />]/;
const DEFAULT_NS = " xmlns='";
/** How the stream's own elements begin. */
export const STREAM_PREFIX = '<stream:';

/** RFC 7395 3.3.3: declares what the element would have inherited. Our serialiser puts a default namespace first, if any. */
function standAlone(xml: string): string {
  const end = xml.search(NAME_END);
  if (xml.startsWith(STREAM_PREFIX)) return `${xml.slice(0, end)} xmlns:stream='${NS.stream}'${xml.slice(end)}`;
  return xml.startsWith(DEFAULT_NS, end) ? xml : `${xml.slice(0, end)} xmlns='${NS.client}'${xml.slice(end)}`;
}

function attributes(attrs: HeaderAttrs): string {
  let xml = '';
  for (const [name, value] of Object.entries(attrs)) if (value !== undefined) xml += ` ${name}='${escapeAttr(value)}'`;
  return xml;
}
