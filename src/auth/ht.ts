// HT-SHA-256-* (draft-schmaus-kitten-sasl-ht-09): proof of a token in one message, with and without channel binding. The tokens
// are those of FAST (XEP-0484). Node.js takes no early data of TLS (0-RTT), and so there is none to guard against.
import { createHmac } from 'node:crypto';
import type { TlsInfo } from '../net/tls.ts';
import { SaslError } from '../xmpp/errors.ts';
import { prepareLocal } from '../xmpp/jid.ts';
import type { ChannelBinding } from './channel.ts';
import { equal } from './credentials.ts';
import type { Mechanism, MechanismContext, Step } from './mechanism.ts';
import { decodeText } from './names.ts';

export interface HtMechanism extends Mechanism {
  readonly binding: ChannelBinding | undefined;
}

/** Strongest first. HT-*-UNIQ is not among them: TLS 1.3 has no such binding. */
export const htMechanisms: readonly HtMechanism[] = [
  ht('EXPR', 'tls-exporter', (tls) => tls?.exporter),
  ht('ENDP', 'tls-server-end-point', (tls) => tls?.endPoint),
  ht('NONE', undefined, () => Buffer.alloc(0)),
];

function ht(
  suffix: string,
  binding: ChannelBinding | undefined,
  channel: (tls: TlsInfo | undefined) => Buffer | undefined,
): HtMechanism {
  const name = `HT-SHA-256-${suffix}`;
  return { name, binding, begin: (context) => (data) => verify(name, channel(context.tls), data, context) };
}

/** 3.2, 3.3: `authcid NUL HMAC(token, "Initiator" || cb-data)`, answered by `HMAC(token, "Responder" || cb-data)`. */
async function verify(
  mechanism: string,
  channel: Buffer | undefined,
  data: Buffer | undefined,
  { identify, tokens }: MechanismContext,
): Promise<Step> {
  if (tokens === undefined || channel === undefined) {
    throw new SaslError('malformed-request', 'A client with tokens says which one it is');
  }
  const end = data?.indexOf(0) ?? -1;
  // XEP-0484 3.1: one round trip, so the client speaks first
  if (data === undefined || end < 1) throw new SaslError('malformed-request', 'This is no message of HT');
  const name = decodeText(data.subarray(0, end));
  const proof = data.subarray(end + 1);
  const local = prepareLocal(name);
  identify(local ?? name);
  const known = await tokens.tokens(local, mechanism);
  const token = known.find(({ secret }) => equal(hash(secret, 'Initiator', channel), proof));
  if (token === undefined || local === undefined) throw new SaslError('not-authorized');
  const { state, epoch } = await tokens.standing(local);
  if (state === 'none') throw new SaslError('not-authorized');
  // only who has the token learns that much
  if (state === 'disabled') throw new SaslError('account-disabled');
  if (token.isExpired) throw new SaslError('credentials-expired');
  return {
    success: { local, anonymous: false, epoch, token: token.id },
    data: hash(token.secret, 'Responder', channel),
  };
}

function hash(token: string, role: 'Initiator' | 'Responder', channel: Buffer): Buffer {
  return createHmac('sha256', token).update(role).update(channel).digest();
}
