// What a stream with another server needs of the server it belongs to.
import type { Allowance } from '../base/budget.ts';
import type { Clock } from '../base/clock.ts';
import type { Gate } from '../base/gate.ts';
import type { Logger } from '../base/log.ts';
import type { Config, HostSettings } from '../config/server.ts';
import type { Router } from '../core/router.ts';
import type { Dns } from '../net/dns.ts';
import type { TlsContexts } from '../net/tls.ts';
import type { Flusher } from '../net/transport.ts';
import type { Trust } from '../net/trust.ts';
import type { Element } from '../xml/element.ts';
import type { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import type { DialbackOutcome, DomainPair } from './dialback.ts';

/** Settings of one host's federation; times in milliseconds. Read afresh at every use, so that a reload takes hold. */
/** How much a stream may bring, of another server or of a component. */
export interface StreamLimits {
  readonly stanzaBytesBeforeAuth: number;
  readonly stanzaBytes: number;
  /** What one stream may bring. Undefined: no rate limits. */
  readonly allowance: Allowance | undefined;
}

export function streamLimits(s2s: HostSettings['s2s'], limits: Config['limits']): StreamLimits {
  return {
    stanzaBytesBeforeAuth: limits['stanza-bytes-before-auth'],
    stanzaBytes: s2s['stanza-bytes'],
    allowance: limits.enabled
      ? {
          bytes: { rate: s2s['bytes-per-second'], burst: s2s['bytes-burst'] },
          elements: { rate: s2s['stanzas-per-second'], burst: s2s['stanzas-burst'] },
        }
      : undefined,
  };
}

export interface S2sSettings extends StreamLimits {
  /** Dialback is not enough: a peer has to show a valid certificate. */
  readonly requireValidCertificates: boolean;
  /** Whether policy lets this host talk to a domain. */
  mayTalkTo(domain: string): boolean;
  readonly bidi: boolean;
  /** What may wait for a peer that does not read. */
  readonly sendQueueBytes: number;
  /** What may wait for a stream that is not ready, and until a peer acknowledges it. */
  readonly queueStanzas: number;
  readonly queueBytes: number;
  /** How long stanzas wait for a stream. */
  readonly queueTimeout: number;
  /** How long one connection may take until it is authenticated. */
  readonly authTimeout: number;
  readonly idleTimeout: number;
}

export type Direction = 'in' | 'out';

/** Why a stream could not be had, or ended with an error; a closed set, for metrics. */
export type FailureReason = 'dns' | 'tcp' | 'tls' | 'certificate' | 'authentication' | 'timeout' | 'policy' | 'peer';

export interface S2sContext {
  /** Whether a domain is ours: then nobody else is. */
  serves(domain: string): boolean;
  /** Undefined for a domain that is not served, or does not federate. */
  settings(domain: string): S2sSettings | undefined;
  /** Rises with every reload: what was decided after older settings is to be decided again. */
  readonly generation: number;
  readonly defaultDomain: string;
  readonly tls: TlsContexts;
  readonly trust: Trust;
  readonly dns: Dns;
  /** Of dialback (XEP-0185), shared by all nodes. */
  readonly secret: string;
  readonly router: Router;
  readonly flusher: Flusher;
  /** What comes from outside waits while it is closed. */
  readonly gate: Gate | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts a stanza. */
  stanza(direction: Direction): void;
  /** Counts a stream that failed. */
  failure(direction: Direction, reason: FailureReason): void;
  /** Answers a stanza between two addresses with an error, where that may be. `to` is of a domain of ours, or `from` is. */
  refuse(element: Element, from: Jid, to: Jid, error: StanzaError): void;
  /** Asks the authoritative server of `pair.to` about a key (XEP-0220 2.1.2), on behalf of `pair.from`, a domain of ours. */
  verify(pair: DomainPair, id: string, key: string): Promise<DialbackOutcome>;
}
