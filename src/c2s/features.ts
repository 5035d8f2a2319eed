// What a client is offered, and when (RFC 6120 4.3.2).
import { createHash } from 'node:crypto';
import type { ClientStream } from '../core/events.ts';
import { streamFeatures } from '../core/events.ts';
import type { Host } from '../core/host.ts';
import { serialiseStreamElement } from '../net/stream.ts';
import { type Element, el } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';

export interface Offer {
  readonly startTls: 'no' | 'optional' | 'required';
  /** What concerns logging in; nothing once authenticated. */
  readonly login: readonly Element[];
  readonly stage: 'connected' | 'authenticated' | 'bound';
  /** Bytes that one stanza may have at this stage. */
  readonly stanzaBytes: number;
  /** Milliseconds; 0 for none. */
  readonly idleTimeout: number;
}

/** The children of the `<stream:features/>` of this stage. */
export async function makeFeatures(host: Host, stream: ClientStream, offer: Offer): Promise<readonly Element[]> {
  const features: Element[] = [];
  if (offer.startTls !== 'no') {
    features.push(
      el('starttls', NS.tls, undefined, ...(offer.startTls === 'required' ? [el('required', NS.tls)] : [])),
    );
  }
  // RFC 6120 5.3.1: while TLS is required, nothing else is worth offering
  if (offer.startTls !== 'required') {
    features.push(...offer.login);
    if (offer.stage === 'authenticated') features.push(el('bind', NS.bind), el('sm', NS.sm));
    await host.collect(streamFeatures, { stream, features });
  }
  features.push(limits(offer));
  return features;
}

/** The XML of `<stream:features/>`. */
export function writeFeatures(features: readonly Element[]): string {
  return serialiseStreamElement(el('features', NS.stream, undefined, ...features));
}

/** XEP-0509 2.3.1: what tells this offer from any other. Means nothing to clients. */
export function versionOf(features: readonly Element[]): string {
  return createHash('sha256').update(writeFeatures(features)).digest().subarray(0, 12).toString('base64url');
}

/** XEP-0478. */
function limits(offer: Offer): Element {
  const children = [el('max-bytes', NS.streamLimits, undefined, String(offer.stanzaBytes))];
  if (offer.stage !== 'connected' && offer.idleTimeout > 0) {
    children.push(el('idle-seconds', NS.streamLimits, undefined, String(Math.floor(offer.idleTimeout / 1000))));
  }
  return el('limits', NS.streamLimits, undefined, ...children);
}
