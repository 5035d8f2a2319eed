// PLAIN (RFC 4616): the password itself, so only ever inside TLS.
import { SaslError } from '../xmpp/errors.ts';
import { prepareLocal } from '../xmpp/jid.ts';
import type { Mechanism } from './mechanism.ts';
import { checkAuthzid, decodeText } from './names.ts';

export const plain: Mechanism = {
  name: 'PLAIN',
  begin: (context) => async (data) => {
    // RFC 4422 5: the client speaks first, and is asked to when it did not
    if (data === undefined) return { challenge: Buffer.alloc(0) };
    // RFC 4616 2: [authzid] NUL authcid NUL passwd
    const parts = decodeText(data).split('\0');
    const [authzid = '', name = '', password = ''] = parts;
    if (parts.length !== 3 || name === '' || password === '') {
      throw new SaslError('malformed-request', 'PLAIN takes an identity, a name and a password');
    }
    const local = prepareLocal(name);
    checkAuthzid(authzid, local, context);
    context.identify(local ?? name);
    const { state, epoch } = await context.accounts.plain(local, password);
    if (state === 'disabled') throw new SaslError('account-disabled');
    if (state === 'none' || local === undefined) throw new SaslError('not-authorized');
    return { success: { local, anonymous: false, epoch }, data: undefined };
  },
};
