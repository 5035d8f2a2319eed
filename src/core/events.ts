// THE LIST: every hook of the core, its phases, who fires it, and what a handler may do. Start reading here.
//
// A stanza from a client:   messageOut | presenceOut | iqOut   fired by router.fromClient, before it is routed
// A stanza for an account:  messageIn  | presenceIn  | iqIn    fired by account.deliver, before it reaches sessions
// A stanza from elsewhere:  serverIn                           fired by router.fromServer, before it is routed
// A stanza that leaves:      serverOut                          fired by the router, for another server
// A stanza for a service:   serviceIn                          fired by the router, for addresses with a localpart where there are no accounts
// A request to answer:      iqAnswer                           fired by the router, for the domain and bare addresses
// A message nobody is there for: messageOffline                fired by account.deliver
// A stanza to one session:  sessionOut                         fired by session.deliver, right before the stream
//
// In a gate, return nothing to let the event pass, 'handled' to end it silently, or a StanzaError to refuse it.
import type { SessionEntry } from '../cluster/cluster.ts';
import type { Grant } from '../config/components.ts';
import type { TlsInfo } from '../net/tls.ts';
import type { Element } from '../xml/element.ts';
import type { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import type { Iq, Message, Presence, Stanza } from '../xmpp/stanza.ts';
import { collect, gate, notify } from './hooks.ts';
import type { IqRequest } from './module.ts';
import type { Session } from './sessions.ts';
import type { Transit } from './transit.ts';

/** A local client sends a message. `check` may refuse, `archive` stores, `copy` sends copies. */
export const messageOut = gate<Transit<Message>>()('message-out', ['check', 'archive', 'copy']);

/** A message for a local account that exists; the note `recipients` says which sessions will get it. */
export const messageIn = gate<Transit<Message>>()('message-in', ['check', 'archive', 'copy']);

/** A message for a local account that no resource takes. `store` keeps it ('handled'); else it is refused. */
export const messageOffline = gate<Transit<Message>>()('message-offline', ['check', 'store']);

/** A local client sends presence, of any type, directed or not. `handle` does what the type asks for. */
export const presenceOut = gate<Transit<Presence>>()('presence-out', ['check', 'handle']);

/** Presence for a local account that exists. `handle` takes subscriptions and probes; the rest goes to sessions. */
export const presenceIn = gate<Transit<Presence>>()('presence-in', ['check', 'handle']);

/** A local client sends an IQ to somebody else. */
export const iqOut = gate<Transit<Iq>>()('iq-out', ['check']);

/** An IQ for a local account or one of its resources. */
export const iqIn = gate<Transit<Iq>>()('iq-in', ['check']);

/** A stanza from another domain, a component's perhaps, for an address of this host. `check` may refuse, `handle` takes what it is for. */
export const serverIn = gate<Transit>()('server-in', ['check', 'handle']);

/** A stanza of an account or a service of this host is about to leave for another server; not for a component. `check` may refuse. */
export const serverOut = gate<Transit>()('server-out', ['check']);

/**
 * A stanza for a host without accounts: for an address with a localpart there (a room, or an occupant of one), or a message or presence
 * for its domain. `handle` takes it; what nobody takes is refused with `service-unavailable`, but presence for the domain.
 */
export const serviceIn = gate<Transit>()('service-in', ['check', 'handle']);

/** A request to the domain or to a bare address, account or not, which the host is to answer. `delegate` may do it elsewhere. */
export const iqAnswer = gate<Transit<Iq>>()('iq-answer', ['delegate']);

/** Presence of a resource (available or not) for a local account, whether anybody is connected there or not. */
export const presenceNews = notify<Transit<Presence>>('presence-news');

/** A stanza is about to be written to a session: 'handled' swallows it. */
export const sessionOut = gate<{ readonly session: Session; readonly stanza: Stanza }>()('session-out', [
  'filter',
  'queue',
]);

/** What modules may know of a client's stream. */
export interface ClientStream {
  readonly id: string;
  /** The client's network address. */
  readonly address: string;
  readonly tls: TlsInfo | undefined;
  /** The localpart, once authenticated. */
  readonly user: string | undefined;
  send(element: Element): void;
}

/**
 * A message was taken back, by who said it or by a moderator of the room, and has a tombstone in an archive: `message` is what it was, `by` the bare
 * JID of who had said it, `place` that of whom it was said to, or of the room. Told once for each archive that had it.
 */
export const messageWithdrawn = notify<{ readonly message: Element; readonly by: string; readonly place: string }>(
  'message-withdrawn',
);

/** `<stream:features/>` are being made; handlers push what they offer at this stage of the stream. */
export const streamFeatures = collect<{ readonly stream: ClientStream; readonly features: Element[] }>(
  'stream-features',
);

/** Bind 2 is being offered (XEP-0386 3): handlers push the namespaces of what can be asked for inside <bind/>. */
export const bind2Features = collect<{ readonly stream: ClientStream; readonly namespaces: string[] }>(
  'bind2-features',
);

/** A resource was bound by Bind 2: handlers do what they find in its <bind/>, and push what goes into <bound/>. */
export const bind2Inline = collect<{
  readonly session: Session;
  readonly request: Element;
  readonly bound: Element[];
}>('bind2-inline');

/** An IQ on a stream that is not authenticated yet (XEP-0077). Unhandled, it ends the stream. */
export const streamIq = gate<{ readonly stream: ClientStream; readonly iq: Element }>()('stream-iq', ['handle']);

/**
 * A session is about to be there, bound or come from elsewhere: `read` what has to be known of its account before the first stanza for
 * it. Where a handler throws there is no session. Fired by sessions.bind and sessions.restore.
 */
export const sessionBeginning = gate<{ readonly session: Session }>()('session-beginning', ['read']);

/** A resource was bound. Fired by sessions.bind. */
export const sessionBound = notify<{ readonly session: Session }>('session-bound');

/**
 * A session lost its stream, and waits to be resumed (XEP-0198): whoever holds stanzas back writes them now, and holds
 * back no more. Fired by sessions.hibernate.
 */
export const sessionHibernating = notify<{ readonly session: Session }>('session-hibernating');

/** A session that waited has a stream again, and has been sent what it missed. Fired by sessions.resume. */
export const sessionResumed = notify<{ readonly session: Session }>('session-resumed');

/**
 * A session ended, and is no longer in the directory. Fired by sessions.close. `isOrphan`: the other nodes had held this one for
 * dead, and one of them has told everybody already (`sessionOrphaned`).
 */
export const sessionClosed = notify<{ readonly session: Session; readonly isOrphan: boolean }>('session-closed');

/**
 * A session has gone with its node, and is out of the directory: whoever would have been told of its end by that node is told by
 * this one. Handlers are waited for; where this node dies over it, another one is told once more. Fired by the router.
 */
export const sessionOrphaned = collect<{ readonly entry: SessionEntry }>('session-orphaned');

/** A session's presence changed; `was` and `wasPriority` are those before. Fired by session.setPresence. */
export const sessionPresence = notify<{
  readonly session: Session;
  readonly was: Presence | undefined;
  readonly wasPriority: number;
}>('session-presence');

/**
 * Somebody makes an account without an operator. `check` refuses names that are not for whoever comes first; `invitation` is the token of
 * the one that they come with.
 */
export const accountRegistering = gate<{ readonly user: string; readonly invitation?: string | undefined }>()(
  'account-registering',
  ['check'],
);

/**
 * An account is about to be removed: its sessions are gone, its data is still there. Handlers are waited for, on its host and then on the
 * service hosts below that.
 */
export const accountRemoving = collect<{ readonly user: string }>('account-removing');

/**
 * A component that may do something here connected to this node, or may do something else now: `was` is what it could do
 * before, undefined when it has just connected. Told once more when modules were installed anew.
 */
export const componentReady = notify<{ readonly component: Jid; readonly was: Grant | undefined }>('component-ready');

/** A component lost its connection to this node. */
export const componentGone = notify<{ readonly component: Jid }>('component-gone');

/**
 * An account has another password: its clients have to show that, but for the session `by`, where a session did it. Told on the node where
 * that was done.
 */
export const passwordChanged = notify<{ readonly user: string; readonly by: string | undefined }>('password-changed');

/** One of an account's clients has lost its access (XEP-0494 3.2). Told on the node where that was done. */
export const clientRevoked = notify<{ readonly user: string; readonly client: string }>('client-revoked');

/** An account has another role. Fired on every node. */
export const roleChanged = notify<{ readonly user: string }>('role-changed');

/**
 * An account was made by an invitation that names circles. Handlers are waited for; they may be called again for the same account. Fired by
 * the module for invitations.
 */
export const accountInvited = collect<{ readonly user: string; readonly circles: readonly string[] }>(
  'account-invited',
);

/** An account was made. Fired by the accounts service. */
export const accountCreated = notify<{ readonly user: string }>('account-created');

/** Somebody asks by disco for a node (XEP-0030 3.2, 4.2) that nobody else knows. */
export interface NodeAsked {
  readonly request: IqRequest;
  readonly target: 'host' | 'room' | 'account';
  readonly node: string;
  readonly what: 'info' | 'items';
  /** The children of the answer, or why there is none; undefined while nobody knows the node. */
  answer: readonly Element[] | StanzaError | undefined;
}
/** Fired by disco and by rooms; who knows the node sets the answer. */
export const nodeAsked = collect<NodeAsked>('node-asked');
