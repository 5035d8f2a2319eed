// The client that logged in, where it says which one it is: written down, and given a token (XEP-0388 2.3, XEP-0484 3).
import { provesPassword } from '../auth/sasl.ts';
import type { Host } from '../core/host.ts';
import { type Element, el } from '../xml/element.ts';
import { formatDateTime } from '../xmpp/datetime.ts';
import { NS } from '../xmpp/ns.ts';
import type { Login } from './sasl2.ts';

/**
 * @returns our name for the client, and the `<token/>` for it; nothing where it is not known
 * @throws SaslError when its token was used up or revoked meanwhile
 */
export async function enterClient(
  host: Host,
  { user, mechanism, isAnonymous, request, epoch, token }: Login,
): Promise<{ readonly client: string | undefined; readonly token: Element | undefined }> {
  const { agent, fast, wanted, bind, resume } = request;
  if (agent.id === undefined || isAnonymous) return { client: undefined, token: undefined };
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
  if (issued === undefined) return { client, token: undefined };
  const expiry = formatDateTime(issued.expires);
  return { client, token: el('token', NS.fast, { token: issued.secret, expiry }) };
}
