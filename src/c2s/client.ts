// The client that logged in, where it says which one it is: written down, and given a token (XEP-0388 2.3, XEP-0484 3).

import { provesPassword } from '../auth/sasl.ts';
import type { Host } from '../core/host.ts';
import { type Element, el } from '../xml/element.ts';
import { formatDateTime } from '../xmpp/datetime.ts';
import { SaslError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { Grant } from './bind.ts';
import type { Login } from './sasl2.ts';

/**
 * @returns what the login allows from now on, and the `<token/>` for the client, if it gets one
 * @throws SaslError when its token was used up or revoked meanwhile, or the account is not what it was
 */
export async function enterClient(
  host: Host,
  { user, mechanism, isAnonymous, request, epoch, token }: Login,
): Promise<{ readonly grant: Grant; readonly token: Element | undefined }> {
  const { agent, fast, wanted, bind, resume } = request;
  if (isAnonymous) return { grant: { epoch, client: undefined, token: undefined }, token: undefined };
  // a task may have taken its time
  if (!(await host.accounts.isCurrent(user, epoch))) throw new SaslError('not-authorized');
  if (agent.id === undefined) return { grant: { epoch, client: undefined, token: undefined }, token: undefined };
  const { clients } = host.accounts;
  const client = clients.idOf(user, agent.id);
  const issued = await clients.login(user, client, {
    agent,
    mechanism,
    isPassword: provesPassword(mechanism),
    isBinding: bind !== undefined || resume !== undefined,
    epoch,
    token,
    count: fast?.count,
    isLast: fast?.isLast === true,
    wanted,
  });
  const grant: Grant = { epoch, client, token: fast?.isLast === true ? undefined : token };
  if (issued === undefined) return { grant, token: undefined };
  const expiry = formatDateTime(issued.expires);
  return { grant, token: el('token', NS.fast, { token: issued.secret, expiry }) };
}
