// SASL EXTERNAL between servers, for the one that was connected to (RFC 6120 6, XEP-0178 3): the certificate of TLS is the proof, the
// domain in the stream's header the identity.
import type { Element } from '../xml/element.ts';
import { SaslError } from '../xmpp/errors.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import type { CertificateVerdict } from './certificates.ts';

/** RFC 4648 4, with the padding; RFC 6120 6.4.2: "=" is an empty response. */
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * The domain that the peer is, once its `<auth/>` was taken.
 * @param from the domain in the header of the stream, if there was one
 * @param judge says whether the certificate speaks for a domain
 * @throws SaslError
 */
export function takeExternal(
  element: Element,
  from: string | undefined,
  judge: (domain: string) => CertificateVerdict,
): string {
  if (element.name !== 'auth') throw new SaslError('malformed-request', 'only <auth/> has a place here');
  if (element.attrs.mechanism !== 'EXTERNAL') throw new SaslError('invalid-mechanism', 'only EXTERNAL is offered');
  const identity = identityOf(element.getText().trim(), from);
  if (from !== undefined && identity !== from) {
    throw new SaslError('invalid-authzid', 'the identity is not the domain that the stream is from');
  }
  const verdict = judge(identity);
  if (!verdict.isValid) throw new SaslError('not-authorized', verdict.why);
  return identity;
}

/** XEP-0178 3: without an identity of its own, it is that of the header. */
function identityOf(text: string, from: string | undefined): string {
  if (text !== '' && text !== '=' && !base64.test(text)) throw new SaslError('incorrect-encoding');
  const named = text === '' || text === '=' ? from : prepareDomain(Buffer.from(text, 'base64').toString('utf8'));
  if (named === undefined) throw new SaslError('invalid-authzid', 'no domain was named');
  return named;
}
