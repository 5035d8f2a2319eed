// <authenticate/> (XEP-0388 2.3) with what may stand in it (XEP-0198 9, XEP-0386 3.2, XEP-0480 2.2, XEP-0484 3): checked before anybody is
// authenticated, for bad form has nothing to do with who sends it.
import type { UserAgent } from '../auth/clients.ts';
import { type ScramHash, scramHashes } from '../auth/credentials.ts';
import type { Element } from '../xml/element.ts';
import { flatten } from '../xml/flatten.ts';
import { SaslError } from '../xmpp/errors.ts';
import { prepareResource } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';

export interface LoginRequest {
  readonly mechanism: string | undefined;
  readonly agent: UserAgent;
  /** Undefined where no resource is to be bound. */
  readonly bind: { readonly element: Element; readonly tag: string | undefined } | undefined;
  /** The session to go on with, rather than binding a resource (XEP-0198 9.2). */
  readonly resume: Element | undefined;
  /** The client proves a token (XEP-0484 3.4); `isLast`: which is to be good no more (3.6). */
  readonly fast: { readonly count: number | undefined; readonly isLast: boolean } | undefined;
  /** The mechanism that a token is wanted for. */
  readonly wanted: string | undefined;
  /** The keys that the client is ready to make. */
  readonly upgrades: readonly ScramHash[];
}

const uuid4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
/** Characters of a name that are kept. */
const LONGEST_NAME = 100;
/** Of the resource something has to be left for what we add. */
const LONGEST_TAG = 512;

/**
 * @param forTokens the mechanisms that are offered for tokens
 * @throws SaslError `malformed-request`
 */
export function readRequest(element: Element, forTokens: readonly string[]): LoginRequest {
  const agent = agentOf(element.getChild('user-agent'));
  const fast = fastOf(element.getChild('fast', NS.fast));
  if (fast !== undefined && agent.id === undefined) throw malformed('A client with a token says which one it is');
  return {
    mechanism: element.attrs.mechanism,
    agent,
    bind: bindOf(element.getChild('bind', NS.bind2)),
    resume: element.getChild('resume', NS.sm),
    fast,
    // without an identity there is nobody to give a token to (XEP-0484 4.1)
    wanted: agent.id === undefined ? undefined : wantedOf(element.getChild('request-token', NS.fast), forTokens),
    upgrades: upgradesOf(element.getChildren('upgrade', NS.saslUpgrade)),
  };
}

/** The name of the task that makes a key for a hash function (XEP-0480 2.1). */
export function taskFor(hash: ScramHash): string {
  return `UPGR-SCRAM-${hash.toUpperCase()}`;
}

function agentOf(element: Element | undefined): UserAgent {
  const id = element?.attrs.id;
  if (id !== undefined && !uuid4.test(id)) throw malformed('The id of a user agent is a UUID of version 4');
  return {
    id: id?.toLowerCase(),
    software: nameOf(element?.getChildText('software')),
    device: nameOf(element?.getChildText('device')),
  };
}

function nameOf(text: string | undefined): string | undefined {
  const name = [...(text ?? '').trim()].slice(0, LONGEST_NAME).join('');
  return name === '' ? undefined : flatten(name);
}

function bindOf(element: Element | undefined): LoginRequest['bind'] {
  if (element === undefined) return undefined;
  const text = element.getChildText('tag');
  if (text === undefined || text === '') return { element, tag: undefined };
  const tag = prepareResource(text);
  // XEP-0386 3.2.1: as far as it can be part of a resource
  if (tag === undefined || Buffer.byteLength(tag) > LONGEST_TAG) throw malformed('This tag cannot be in a resource');
  return { element, tag: flatten(tag) };
}

function fastOf(element: Element | undefined): LoginRequest['fast'] {
  if (element === undefined) return undefined;
  const { count, invalidate } = element.attrs;
  if (count !== undefined && !/^\d{1,10}$/.test(count)) throw malformed('The count of a token is a whole number');
  return {
    count: count === undefined ? undefined : Number(count),
    isLast: invalidate === 'true' || invalidate === '1',
  };
}

function wantedOf(element: Element | undefined, forTokens: readonly string[]): string | undefined {
  const mechanism = element?.attrs.mechanism;
  if (element === undefined || forTokens.length === 0) return undefined;
  // XEP-0484 3.2: one of those that were offered
  if (mechanism === undefined || !forTokens.includes(mechanism))
    throw malformed('There are no tokens for that mechanism');
  return flatten(mechanism);
}

/** XEP-0480 2.2: those that we know, each once. */
function upgradesOf(elements: readonly Element[]): readonly ScramHash[] {
  const names = elements.map((element) => element.getText().trim());
  return scramHashes.filter((hash) => names.includes(taskFor(hash)));
}

const malformed = (text: string): SaslError => new SaslError('malformed-request', text);
