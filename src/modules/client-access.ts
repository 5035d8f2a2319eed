// XEP-0494: Client Access Management. People see which clients have access to their account, and take it away.
//
// Clients that say which one they are (XEP-0388 2.3) are known by that; those that do not are known by their session, and
// listed for as long as it lasts. Every client has full access, so that there are no permissions to tell of.
//
// Beyond what it asks for: revoking a client that knows the password is answered with an error (3.2), and yet it loses its
// tokens and its sessions. It may come back by the password, and by nothing else.
import type { Client } from '../auth/clients.ts';
import type { SessionEntry } from '../cluster/cluster.ts';
import { clientOf } from '../core/client-slot.ts';
import { defineModule, type IqRequest, iqGet, iqSet } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { formatDateTime } from '../xmpp/datetime.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';

/** Clients that did not come back are forgotten in small steps: those of so many accounts, so often in milliseconds. */
const STEP = 5000;
const PACE = 6 * 60 * 60_000;

export default defineModule({
  xeps: ['XEP-0494 0.1.0'],
  summary: 'Shows people the clients that have access to their account, and takes it away',

  setup({ host: { accounts, domain, settings }, cluster, clock, every, background }) {
    // guests have no account that anybody could come back to
    if (settings.authentication === 'anonymous') return {};
    let sweptTo: string | undefined;

    async function list({ iq: { from } }: IqRequest): Promise<Element> {
      const entries = await cluster.directory.sessions(from.bare);
      const connected = new Map(entries.map((entry) => [clientOf(entry), entry]));
      const now = clock.now();
      const clients: Element[] = [];
      for (const client of await accounts.clientsOf(from.local)) {
        clients.push(describe(client, connected.delete(client.id), now));
      }
      for (const entry of connected.values()) clients.push(describeSession(entry, now));
      return el('clients', NS.clientAccess, undefined, ...clients);
    }

    async function revoke({ iq: { from }, payload, session, afterReply }: IqRequest): Promise<void> {
      const { id } = payload.attrs;
      if (id === undefined) throw new StanzaError('bad-request', 'which client is meant?');
      const client = (await accounts.clientsOf(from.local)).find((one) => one.id === id);
      const entries = await cluster.directory.sessions(from.bare);
      if (client === undefined && !entries.some((entry) => clientOf(entry) === id)) {
        throw new StanzaError('item-not-found');
      }
      // nobody is known to come back without the password, unless it was changed meanwhile
      const needsPassword = client?.knowsPassword !== false;
      const isOwn = session !== undefined && clientOf(session) === id;
      // whoever asks for it hears the answer first
      if (!isOwn) await accounts.revokeClient(from.local, id);
      else if (!needsPassword) afterReply(() => background(accounts.revokeClient(from.local, id), 'revoking a client'));
      if (needsPassword) throw passwordNeeded();
    }

    async function forget(): Promise<void> {
      // one node does it for all; the next one begins anew
      if (cluster.owner(`client-access ${domain}`) !== cluster.self) {
        sweptTo = undefined;
        return;
      }
      const page = await accounts.list(sweptTo, STEP);
      for (const user of page) await accounts.clients.prune(user);
      sweptTo = page.length < STEP ? undefined : page.at(-1);
    }
    every(PACE, 'forgetting clients', forget);

    return {
      features: { account: [NS.clientAccess] },
      handlers: [iqGet('self', NS.clientAccess, 'list', list), iqSet('self', NS.clientAccess, 'revoke', revoke)],
    };
  },
});

// 3.1
function describe(client: Client, isConnected: boolean, now: number): Element {
  const { software, device, hasToken, knowsPassword } = client;
  return el(
    'client',
    NS.clientAccess,
    {
      connected: String(isConnected),
      id: client.id,
      type: isConnected || client.bound === true ? 'session' : 'access',
    },
    text('first-seen', formatDateTime(client.firstSeen)),
    text('last-seen', formatDateTime(isConnected ? now : client.lastSeen)),
    el('auth', NS.clientAccess, undefined, ...marks({ password: knowsPassword, fast: hasToken })),
    el('permission', NS.clientAccess, { status: 'unrestricted' }),
    el(
      'user-agent',
      NS.clientAccess,
      undefined,
      ...(software === undefined ? [] : [text('software', software)]),
      ...(device === undefined ? [] : [text('device', device)]),
    ),
  );
}

/** A client that has not said which one it is. */
function describeSession(entry: SessionEntry, now: number): Element {
  return el(
    'client',
    NS.clientAccess,
    { connected: 'true', id: clientOf(entry), type: 'session' },
    text('last-seen', formatDateTime(now)),
    el('auth', NS.clientAccess, undefined, ...marks({ password: true })),
    el('permission', NS.clientAccess, { status: 'unrestricted' }),
  );
}

function marks(names: Readonly<Record<string, boolean>>): readonly Element[] {
  return Object.entries(names).flatMap(([name, holds]) => (holds ? [el(name, NS.clientAccess)] : []));
}

function text(name: string, value: string): Element {
  return el(name, NS.clientAccess, undefined, value);
}

// 3.2
function passwordNeeded(): StanzaError {
  return new StanzaError('service-unavailable', 'this client may know the password: change it', {
    extra: el('password-reset-required', NS.clientAccess),
  });
}
