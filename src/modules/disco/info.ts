// What disco#info says of a host and of its accounts, made of what the modules declare, and the hashes of it.
import type { Instance } from '../../core/host.ts';
import type { Identity, Installed } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { caps2Hash, caps2Node, capsVer } from '../../xmpp/caps.ts';
import { formTypeOf } from '../../xmpp/dataform.ts';
import { mergeForms } from '../../xmpp/info-form.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Nested } from '../delegation/index.ts';

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

const nothingNested: Nested = { namespaces: [], server: [], account: [] };

export interface Own {
  readonly server: Identity;
  readonly account: Identity;
}

/**
 * @param nested what components want told of namespaces that are delegated to them, in the place of what modules do (XEP-0355 6.2)
 * @throws Error when the modules declare something that has no hash
 */
export function makeInfo(instances: readonly Instance[], own: Own, nested: Nested = nothingNested): Info {
  const declared = instances.map((instance) => withoutDelegated(instance.installed, nested.namespaces));
  const host = merged(
    identities([own.server, ...declared.flatMap((one) => one.identities?.server ?? [])]),
    [NS.caps, NS.caps2, ...declared.flatMap((one) => one.features?.server ?? [])],
    forms(declared),
    nested.server,
  );
  const account = merged(
    identities([own.account, ...declared.flatMap((one) => one.identities?.account ?? [])]),
    declared.flatMap((one) => one.features?.account ?? []),
    [],
    nested.account,
  );
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

/** XEP-0355 6.2.1, 6.2.3: of a namespace that is delegated the server tells nothing of its own. */
function withoutDelegated(installed: Installed, namespaces: readonly string[]): Installed {
  if (namespaces.length === 0) return installed;
  const isDelegated = (name: string): boolean => namespaces.some((ns) => name === ns || name.startsWith(`${ns}#`));
  const { features: own, identities: _, info = [], ...rest } = installed;
  const isTheirs = (installed.handlers ?? []).some((one) => one.kind === 'iq' && namespaces.includes(one.ns));
  const kept = (list: readonly string[] = []): string[] => list.filter((name) => !isDelegated(name));
  return {
    ...rest,
    features: { server: kept(own?.server), account: kept(own?.account) },
    ...(isTheirs || installed.identities === undefined ? {} : { identities: installed.identities }),
    info: isTheirs ? [] : info.filter((form) => !isDelegated(formTypeOf(form) ?? '')),
  };
}

/** Identities, features and forms of both, each once: else there is no hash of them (XEP-0115 5.4). */
function merged(
  own: readonly Element[],
  names: readonly string[],
  ownForms: readonly Element[],
  more: readonly Element[],
): Element[] {
  const known = new Set(own.map(keyOf));
  const types = new Set(ownForms.map(formTypeOf));
  const added = more.filter((one) => one.name === 'identity').map(inEnglish);
  const addedForms = more.filter((one) => one.name === 'x' && !types.has(formTypeOf(one)));
  const addedNames = more.flatMap((one) => (one.name === 'feature' ? (one.attrs.var ?? []) : []));
  return [
    ...own,
    ...added.filter((one) => !known.has(keyOf(one)) && known.add(keyOf(one))),
    ...features([...names, ...addedNames]),
    ...ownForms,
    ...addedForms.filter((one, i) => addedForms.findIndex((other) => formTypeOf(other) === formTypeOf(one)) === i),
  ];
}

const keyOf = ({ attrs }: Element): string =>
  JSON.stringify([attrs.category, attrs.type, attrs['xml:lang'], attrs.name]);

/** The hash of XEP-0390 would depend on the language of the stream around it (4.1). */
const inEnglish = (identity: Element): Element =>
  identity.attrs['xml:lang'] === undefined ? identity.with({ 'xml:lang': 'en' }) : identity;

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
  return mergeForms(declared.flatMap((one) => one.info ?? []));
}
