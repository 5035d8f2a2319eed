// What all nodes of a cluster have to be configured alike in: told as a fingerprint, and compared.
import { createHmac } from 'node:crypto';
import type { Member, NodeId } from '../cluster/cluster.ts';
import type { Config } from '../config/server.ts';

/**
 * The same for two configurations that serve the same domains and components in the same way, whatever the order of what they say.
 * @param secret known to the nodes alone: there are passwords of components in it that are not to be guessed by readers of Redis
 */
export function settingsPrint({ hosts, components }: Pick<Config, 'hosts' | 'components'>, secret: string): string {
  const alike = Object.entries(hosts).map(([domain, settings]) => {
    // each machine may have what all share in another place; modules/upload looks whether it is the same
    return [domain, { ...settings, upload: { ...settings.upload, folder: null } }] as const;
  });
  const text = JSON.stringify({ hosts: Object.fromEntries(alike), components }, (_key, value: unknown) => {
    if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  return createHmac('sha256', secret).update(text).digest('base64url').slice(0, 22);
}

/** Those with other settings than `self`. What another release makes of a configuration is not compared. */
export function differing(members: readonly Member[], self: NodeId): readonly Member[] {
  const own = members.find(({ node }) => node === self);
  if (own?.settings === undefined) return [];
  return members.filter(
    ({ settings, version }) => settings !== undefined && version === own.version && settings !== own.settings,
  );
}
