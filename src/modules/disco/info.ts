// What disco#info says of a host and of its accounts, made of what the modules declare, and the hashes of it.
import type { Instance } from '../../core/host.ts';
import type { Identity, Installed } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { caps2Hash, caps2Node, capsVer } from '../../xmpp/caps.ts';
import { NS } from '../../xmpp/ns.ts';

/** Our name in capabilities (XEP-0115 4), the same for every server that runs this program. */
export const capsNode = 'https://parley.im';

/** Strong enough for XEP-0390 4.2, and known to everybody who supports it. */
const HASH = 'sha-256';

export interface Info {
  /** The children of the disco#info answer of the domain. */
  readonly host: readonly Element[];
  readonly account: readonly Element[];
  /** The nodes under which the domain's answer is known, too. */
  readonly nodes: ReadonlySet<string>;
  /** The stream features that tell the hashes. */
  readonly features: readonly Element[];
}

export interface Own {
  readonly server: Identity;
  readonly account: Identity;
}

/** @throws Error when the modules declare something that has no hash */
export function makeInfo(instances: readonly Instance[], own: Own): Info {
  const declared = instances.map((instance) => instance.installed);
  const host = [
    ...identities([own.server, ...declared.flatMap((one) => one.identities?.server ?? [])]),
    ...features([NS.caps, NS.caps2, ...declared.flatMap((one) => one.features?.server ?? [])]),
    ...forms(declared),
  ];
  const account = [
    ...identities([own.account, ...declared.flatMap((one) => one.identities?.account ?? [])]),
    ...features(declared.flatMap((one) => one.features?.account ?? [])),
  ];
  const query = infoQuery(host);
  const ver = capsVer(query);
  const hash = caps2Hash(query, HASH);
  if (ver === undefined || hash === undefined) throw new Error('what the modules declare cannot be hashed');
  return {
    host,
    account,
    nodes: new Set([`${capsNode}#${ver}`, caps2Node(HASH, hash)]),
    features: [
      el('c', NS.caps, { hash: 'sha-1', node: capsNode, ver }),
      el('c', NS.caps2, undefined, el('hash', NS.hashes, { algo: HASH }, hash)),
    ],
  };
}

export function infoQuery(children: readonly Element[], node?: string): Element {
  return el('query', NS.discoInfo, { node }, ...children);
}

function identities(list: readonly Identity[]): Element[] {
  // with the language spelled out, the hash of XEP-0390 does not depend on that of the stream around it (4.1)
  return list.map(({ category, type, name }) =>
    el('identity', NS.discoInfo, { category, type, name, 'xml:lang': 'en' }),
  );
}

function features(list: readonly string[]): Element[] {
  const all = new Set([NS.discoInfo, NS.discoItems, ...list]);
  return [...all].sort().map((name) => el('feature', NS.discoInfo, { var: name }));
}

function forms(declared: readonly Installed[]): Element[] {
  return declared.flatMap((one) => one.info ?? []);
}
