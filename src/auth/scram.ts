// SCRAM (RFC 5802, RFC 7677) on the server's side, with and without channel binding (RFC 5929, RFC 9266).
import { SaslError } from '../xmpp/errors.ts';
import { prepareLocal } from '../xmpp/jid.ts';
import { decodeBase64 } from './base64.ts';
import { digest, digestSize, equal, hmac, type ScramHash } from './credentials.ts';
import type { Conversation, Mechanism, MechanismContext, ScramLookup, Step } from './mechanism.ts';
import { checkAuthzid, decodeText } from './names.ts';

/** A client-first-message (RFC 5802 7). */
interface ClientFirst {
  /** With its trailing comma. */
  readonly gs2Header: string;
  /** `n`: the client cannot bind; `y`: it could, but believes that we cannot; otherwise the name of the binding. */
  readonly flag: 'n' | 'y' | { readonly binding: string };
  readonly authzid: string;
  readonly username: string;
  readonly nonce: string;
  readonly bare: string;
}

/** A client-final-message (RFC 5802 7). */
interface ClientFinal {
  readonly binding: Buffer;
  readonly nonce: string;
  readonly withoutProof: string;
  readonly proof: Buffer;
}

const malformed = (text: string): SaslError => new SaslError('malformed-request', text);

/** RFC 5802 7: `value`, no comma and no NUL. */
const value = '[^\\0,]+';
/** `saslname`: commas and equal signs are written `=2C` and `=3D`. */
const saslname = '(?:[^\\0,=]|=2C|=3D)+';
/** `printable`. */
const nonce = '[\\x21-\\x2b\\x2d-\\x7e]+';
/** Attributes that we do not know and that mean nothing to us; those that RFC 5802 5.1 defines have a place of their own. */
const extensions = `(?:,[bdfghj-loqtuw-zA-Z]=${value})*`;
const clientFirst = new RegExp(
  `^((?:(n|y)|p=([A-Za-z0-9.-]+)),(?:a=(${saslname}))?,)(n=(${saslname}),r=(${nonce})${extensions})$`,
  'u',
);
const clientFinal = new RegExp(`^(c=([A-Za-z0-9+/=]+),r=(${nonce})${extensions}),p=([A-Za-z0-9+/=]+)$`, 'u');

function unescapeName(name: string): string {
  return name.replace(/=2C/g, ',').replace(/=3D/g, '=');
}

function parseFirst(message: string): ClientFirst {
  const match = clientFirst.exec(message);
  if (match === null) {
    // RFC 5802 5.1: `m` announces an extension that must be understood, and there is none
    if (/^[^,]*,[^,]*,m=/.test(message)) throw malformed('No mandatory extension is supported');
    throw malformed('This is not a first message of SCRAM');
  }
  const [, gs2Header = '', plainFlag, binding = '', authzid = '', bare = '', username = '', clientNonce = ''] = match;
  return {
    gs2Header,
    flag: plainFlag === 'n' || plainFlag === 'y' ? plainFlag : { binding },
    authzid: unescapeName(authzid),
    username: unescapeName(username),
    nonce: clientNonce,
    bare,
  };
}

function parseFinal(message: string): ClientFinal {
  const match = clientFinal.exec(message);
  const binding = decodeBase64(match?.[2] ?? '');
  const proof = decodeBase64(match?.[4] ?? '');
  if (match === null || binding === undefined || proof === undefined) {
    throw malformed('This is not a final message of SCRAM');
  }
  return { binding, proof, withoutProof: match[1] ?? '', nonce: match[3] ?? '' };
}

/** RFC 5802 6: what the client's flag allows and requires; returns the data that the channel is to be bound to. */
function bindingData(first: ClientFirst, plus: boolean, context: MechanismContext): Buffer {
  const { flag } = first;
  if (typeof flag === 'object') {
    if (!plus) throw malformed('This mechanism binds to no channel');
    const data = channelData(flag.binding, context);
    if (data === undefined) throw malformed('This type of channel binding is not offered');
    return data;
  }
  if (plus) throw malformed('This mechanism needs a channel binding');
  // somebody in between took the -PLUS mechanisms out of what we offered
  if (flag === 'y' && context.offered.some((name) => name.endsWith('-PLUS'))) {
    throw new SaslError('not-authorized', 'Channel binding is offered here');
  }
  return Buffer.alloc(0);
}

function channelData(type: string, { tls }: MechanismContext): Buffer | undefined {
  if (type === 'tls-exporter') return tls?.exporter;
  if (type === 'tls-server-end-point') return tls?.endPoint;
  // never advertised, for it has weaknesses; but clients that look at the mechanisms alone, and know no other type, would be
  // left with PLAIN, which binds to nothing at all
  if (type === 'tls-unique') return tls?.unique;
  return undefined;
}

/** SCRAM with a hash function; `plus` with channel binding. */
export function scram(hash: ScramHash, plus: boolean): Mechanism {
  return {
    name: `SCRAM-${hash.toUpperCase()}${plus ? '-PLUS' : ''}`,
    begin: (context) => converse(hash, plus, context),
  };
}

function converse(hash: ScramHash, plus: boolean, context: MechanismContext): Conversation {
  let final: ((data: Buffer) => Promise<Step>) | undefined;
  return async (data) => {
    if (data === undefined) {
      if (final !== undefined) throw malformed('A message is missing');
      return { challenge: Buffer.alloc(0) };
    }
    if (final !== undefined) return final(data);

    const first = parseFirst(decodeText(data));
    const bound = Buffer.concat([Buffer.from(first.gs2Header), bindingData(first, plus, context)]);
    // a name is a localpart: RFC 7622 prepares it, and refuses what SASLprep would change in it otherwise
    const local = prepareLocal(first.username);
    checkAuthzid(first.authzid, local, context);
    context.identify(local ?? first.username);
    const account = await context.accounts.scram(local, first.username, hash);
    const fullNonce = first.nonce + context.nonce();
    const { salt, iterations } = account.credentials;
    const serverFirst = `r=${fullNonce},s=${salt},i=${iterations}${context.attributes(hash)}`;

    final = async (message) => {
      const answer = parseFinal(decodeText(message));
      const signed = `${first.bare},${serverFirst},${answer.withoutProof}`;
      const signature = verify(hash, account, answer, signed);
      // RFC 5802 5.1: the whole nonce, and exactly the binding that was announced, come back
      const isOurs = equal(Buffer.from(answer.nonce), Buffer.from(fullNonce)) && equal(answer.binding, bound);
      if (!isOurs || signature === undefined || local === undefined) throw new SaslError('not-authorized');
      // the account, or its password, may have changed since the first message
      const now = await context.accounts.scram(local, first.username, hash);
      if (now.state === 'none' || now.credentials.storedKey !== account.credentials.storedKey) {
        throw new SaslError('not-authorized');
      }
      // only who has the password learns that much
      if (now.state === 'disabled') throw new SaslError('account-disabled');
      return {
        success: { local, anonymous: false, epoch: now.epoch },
        data: Buffer.from(`v=${signature.toString('base64')}`),
      };
    };
    return { challenge: Buffer.from(serverFirst) };
  };
}

/** RFC 5802 3: the ServerSignature, when the proof is right. The work is the same when it is not. */
function verify(hash: ScramHash, account: ScramLookup, answer: ClientFinal, signed: string): Buffer | undefined {
  const storedKey = Buffer.from(account.credentials.storedKey, 'base64');
  const clientSignature = hmac(hash, storedKey, signed);
  const clientKey = Buffer.alloc(digestSize(hash));
  for (let i = 0; i < clientKey.length; i++) clientKey[i] = clientSignature[i]! ^ (answer.proof[i] ?? 0);
  const isProved = equal(digest(hash, clientKey), storedKey) && answer.proof.length === clientKey.length;
  const signature = hmac(hash, Buffer.from(account.credentials.serverKey, 'base64'), signed);
  return isProved && account.state !== 'none' ? signature : undefined;
}
