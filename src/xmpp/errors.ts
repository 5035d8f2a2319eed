// What goes wrong on the wire: stanza errors (RFC 6120 8.3), stream errors (4.9) and SASL failures (6.5).
import { type Element, el } from '../xml/element.ts';
import { NS } from './ns.ts';

export type ErrorType = 'auth' | 'cancel' | 'continue' | 'modify' | 'wait';

// RFC 6120 8.3.3: each condition with the type it has unless somebody says otherwise.
const defaultTypes = {
  'bad-request': 'modify',
  conflict: 'cancel',
  'feature-not-implemented': 'cancel',
  forbidden: 'auth',
  gone: 'cancel',
  'internal-server-error': 'cancel',
  'item-not-found': 'cancel',
  'jid-malformed': 'modify',
  'not-acceptable': 'modify',
  'not-allowed': 'cancel',
  'not-authorized': 'auth',
  'policy-violation': 'modify',
  'recipient-unavailable': 'wait',
  redirect: 'modify',
  'registration-required': 'auth',
  'remote-server-not-found': 'cancel',
  'remote-server-timeout': 'wait',
  'resource-constraint': 'wait',
  'service-unavailable': 'cancel',
  'subscription-required': 'auth',
  'undefined-condition': 'cancel',
  'unexpected-request': 'wait',
} as const satisfies Readonly<Record<string, ErrorType>>;

export type Condition = keyof typeof defaultTypes;

export function isCondition(name: string): name is Condition {
  return Object.hasOwn(defaultTypes, name);
}

export interface StanzaErrorOptions {
  /** The error type, where it is not the condition's usual one. */
  readonly type?: ErrorType;
  /** An application-specific condition element, put after the defined one. */
  readonly extra?: Element;
  /** Character data of the condition itself: an address for `gone` and `redirect`. */
  readonly content?: string;
  /** Who found it, where that is neither who answers nor their server (RFC 6120 8.3.2). */
  readonly by?: string;
  /** What stands before the error in the answer: the part of a request that it is about. */
  readonly beside?: Element;
  /** What the condition was called when errors were numbers (XEP-0086), for clients that still look for that. */
  readonly code?: number;
}

/** A refusal of one stanza; thrown by handlers, answered by whoever called them. */
export class StanzaError extends Error {
  readonly condition: Condition;
  readonly type: ErrorType;
  readonly text: string | undefined;
  readonly extra: Element | undefined;
  readonly content: string | undefined;
  readonly by: string | undefined;
  readonly beside: Element | undefined;
  readonly code: number | undefined;

  constructor(condition: Condition, text?: string, options: StanzaErrorOptions = {}) {
    super(text === undefined ? condition : `${condition}: ${text}`);
    this.name = 'StanzaError';
    this.condition = condition;
    this.type = options.type ?? defaultTypes[condition];
    this.text = text;
    this.extra = options.extra;
    this.content = options.content;
    this.by = options.by;
    this.beside = options.beside;
    this.code = options.code;
  }

  /** The `<error/>` child; `by` names who found it (RFC 6120 8.3.2). */
  toElement(by = this.by): Element {
    const condition = el(this.condition, NS.stanzas, undefined, ...(this.content === undefined ? [] : [this.content]));
    return el(
      'error',
      null,
      { type: this.type, by, ...(this.code !== undefined && { code: String(this.code) }) },
      condition,
      ...(this.text === undefined ? [] : [el('text', NS.stanzas, { 'xml:lang': 'en' }, this.text)]),
      ...(this.extra === undefined ? [] : [this.extra]),
    );
  }
}

/** RFC 6120 4.9.3, all of them. */
export type StreamCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'conflict'
  | 'connection-timeout'
  | 'host-gone'
  | 'host-unknown'
  | 'improper-addressing'
  | 'internal-server-error'
  | 'invalid-from'
  | 'invalid-namespace'
  | 'invalid-xml'
  | 'not-authorized'
  | 'not-well-formed'
  | 'policy-violation'
  | 'remote-connection-failed'
  | 'reset'
  | 'resource-constraint'
  | 'restricted-xml'
  | 'see-other-host'
  | 'system-shutdown'
  | 'undefined-condition'
  | 'unsupported-encoding'
  | 'unsupported-feature'
  | 'unsupported-stanza-type'
  | 'unsupported-version';

/** Ends the stream: there is no way back from a stream error (RFC 6120 4.9.1.1). */
export class StreamError extends Error {
  readonly condition: StreamCondition;
  readonly text: string | undefined;
  readonly extra: Element | undefined;

  constructor(condition: StreamCondition, text?: string, extra?: Element) {
    super(text === undefined ? condition : `${condition}: ${text}`);
    this.name = 'StreamError';
    this.condition = condition;
    this.text = text;
    this.extra = extra;
  }

  /** The `<stream:error/>` element. */
  toElement(): Element {
    return el(
      'error',
      NS.stream,
      undefined,
      el(this.condition, NS.streams),
      ...(this.text === undefined ? [] : [el('text', NS.streams, { 'xml:lang': 'en' }, this.text)]),
      ...(this.extra === undefined ? [] : [this.extra]),
    );
  }
}

/** RFC 6120 6.5. */
export type SaslCondition =
  | 'aborted'
  | 'account-disabled'
  | 'credentials-expired'
  | 'encryption-required'
  | 'incorrect-encoding'
  | 'invalid-authzid'
  | 'invalid-mechanism'
  | 'malformed-request'
  | 'mechanism-too-weak'
  | 'not-authorized'
  | 'temporary-auth-failure';

/** A failed authentication attempt; the stream goes on. */
export class SaslError extends Error {
  readonly condition: SaslCondition;
  readonly text: string | undefined;

  constructor(condition: SaslCondition, text?: string) {
    super(text === undefined ? condition : `${condition}: ${text}`);
    this.name = 'SaslError';
    this.condition = condition;
    this.text = text;
  }
}
