// Channel binding (RFC 5056): which types there are on a connection, and how clients are told (XEP-0440).
import type { TlsInfo } from '../net/tls.ts';
import { type Element, el } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';

/** The types that are advertised. */
export type ChannelBinding = 'tls-exporter' | 'tls-server-end-point';

/** The types of channel binding that a connection allows, the stronger first. */
export function channelBindings(tls: TlsInfo | undefined): readonly ChannelBinding[] {
  const types: ChannelBinding[] = [];
  if (tls?.exporter !== undefined) types.push('tls-exporter');
  if (tls?.endPoint !== undefined) types.push('tls-server-end-point');
  return types;
}

/** XEP-0440 2: the stream feature that lists them; undefined where there is none to list. */
export function channelBindingFeature(tls: TlsInfo | undefined): Element | undefined {
  const types = channelBindings(tls);
  if (types.length === 0) return undefined;
  const children = types.map((type) => el('channel-binding', NS.saslChannelBinding, { type }));
  return el('sasl-channel-binding', NS.saslChannelBinding, undefined, ...children);
}
