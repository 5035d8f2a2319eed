// What goes to domains that are not served here: to components of ours, and to other servers.
import { andThen, type MaybePromise } from '../base/maybe.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { serverOut } from './events.ts';
import { isOver } from './hooks.ts';
import type { Host } from './host.ts';
import type { Transit } from './transit.ts';

/** Takes stanzas for domains that are not served here. */
export interface Remote {
  send(transit: Transit): MaybePromise<void>;
  /** Whether a domain is a component's of ours. */
  isComponent(domain: string): boolean;
}

/**
 * Sends a stanza on its way out, where its sender's host lets it.
 * @throws StanzaError where a module, or who takes it, refuses it
 */
export function goAbroad(
  transit: Transit,
  remote: Remote | undefined,
  hosts: ReadonlyMap<string, Host>,
): MaybePromise<void> {
  if (remote === undefined) throw new StanzaError('remote-server-not-found');
  const { from, to } = transit.stanza;
  const host = hosts.get(from.domain);
  if (host === undefined || !host.listens(serverOut) || remote.isComponent(to.domain)) return remote.send(transit);
  return andThen(host.gate(serverOut, transit), (verdict) => (isOver(verdict) ? undefined : remote.send(transit)));
}
