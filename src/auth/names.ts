// Names and texts as mechanisms receive them.
import { isUtf8 } from 'node:buffer';
import { SaslError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import type { MechanismContext } from './mechanism.ts';

/** @throws SaslError `malformed-request` for octets that are not UTF-8 */
export function decodeText(data: Buffer): string {
  if (!isUtf8(data)) throw new SaslError('malformed-request', 'This is not UTF-8');
  return data.toString('utf8');
}

/**
 * RFC 6120 6.3.8: the authorization identity is a bare JID, and here nobody may be somebody else. XEP-0388 2.3: nor somebody
 * else than the stream's header said.
 * @throws SaslError `invalid-authzid`
 */
export function checkAuthzid(
  authzid: string,
  local: string | undefined,
  { domain, from }: Pick<MechanismContext, 'domain' | 'from'>,
): void {
  if (authzid === '') return;
  const jid = Jid.parse(authzid);
  if (jid === undefined || !jid.isBare || local === undefined || jid.local !== local || jid.domain !== domain) {
    throw new SaslError('invalid-authzid', 'You can only be yourself here');
  }
  if (from !== undefined && from !== jid.bare) throw new SaslError('invalid-authzid', 'The stream is for another');
}
