// The registry of administrative commands. One definition serves the command line today, and may serve ad-hoc commands
// (XEP-0050), a REST interface and a page for administrators: nothing here knows how a command arrives.
import type { z } from 'zod';
import type { Accounts } from '../auth/accounts.ts';
import type { KnownToken, Tokens } from '../auth/tokens.ts';
import type { MaybePromise } from '../base/maybe.ts';
import type { RoleTable } from '../config/roles.ts';
import type { AdminAnnouncements, AdminPeers, AdminPeople, AdminReports } from './admin-services.ts';
import type { AdminCircles } from './circles.ts';
import type { AdminInvitations } from './invitations.ts';
import type { LogLevel } from './log.ts';
import type { AdminMoves } from './move-commands.ts';
import type { AdminTransfer } from './transfer.ts';

/** Why a command was refused; `code` is for programs, the message for people. */
export type CommandErrorCode =
  | 'bad-arguments'
  | 'unknown-command'
  | 'not-found'
  | 'exists'
  | 'refused'
  | 'forbidden'
  | 'not-running'
  | 'failed';

/** A refusal to be shown as it is, without a stack. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: CommandErrorCode;
  constructor(code: CommandErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The accounts of one host, by localpart; {@link Accounts} is one. All reject with AccountError. */
export type AdminAccounts = Pick<
  Accounts,
  | 'exists'
  | 'create'
  | 'setRole'
  | 'setPassword'
  | 'remove'
  | 'disable'
  | 'enable'
  | 'facts'
  | 'list'
  | 'clientsOf'
  | 'revokeClient'
>;

/** How long an archive's messages are kept: `ms` milliseconds, Infinity for good; `isOwn` where it was set for this account. */
export interface ArchiveRetention {
  readonly ms: number;
  readonly isOwn: boolean;
}

export interface ArchiveState {
  /** When the first and the last message came, in milliseconds since 1970; undefined for an empty archive. */
  readonly ends: { readonly first: number; readonly last: number } | undefined;
  /** Undefined when there are more than 10,000. */
  readonly count: number | undefined;
  readonly retention: ArchiveRetention;
}

/** The message archives of one host, by localpart, whether there is such an account or room or not. All reject with StorageUnavailable. */
export interface AdminArchives {
  /** Those of rooms: whether there is one of that name. */
  isRoom?(name: string): Promise<boolean>;
  state(user: string): Promise<ArchiveState>;
  /** A message by its id there, as XML; undefined where it is gone. */
  message(user: string, id: string): Promise<string | undefined>;
  /** For this account alone, in milliseconds; `undefined` for what holds for everybody. Returns what holds now. */
  setRetention(user: string, ms: number | undefined): Promise<ArchiveRetention>;
  /** Removes all messages, or those from before a time in milliseconds since 1970; returns how many there were. */
  purge(user: string, before?: number): Promise<number>;
}

/** A room among others. */
export interface RoomSummary {
  readonly jid: string;
  readonly name: string;
  readonly public: boolean;
  readonly membersOnly: boolean;
  readonly persistent: boolean;
}

export interface RoomDetails {
  readonly jid: string;
  readonly occupants: number;
  readonly subject?: string | undefined;
  /** By the names of the owner's form, without `muc#roomconfig_`. */
  readonly settings: Readonly<Record<string, readonly string[]>>;
}

/** The rooms of one host, by localpart, on whatever node they are. All reject with an error called `RoomRefusal` for what is refused. */
export interface AdminRooms {
  list(): Promise<readonly RoomSummary[]>;
  /** Undefined where there is no such room. */
  show(room: string): Promise<RoomDetails | undefined>;
  /** False where there is one already. */
  create(room: string, settings: Readonly<Record<string, readonly string[]>>): Promise<boolean>;
  /** False where there is no such room. */
  set(room: string, settings: Readonly<Record<string, readonly string[]>>): Promise<boolean>;
  /** Gives people, by bare JID, affiliations (XEP-0045 5.2); `none` takes them away. False where there is no such room. */
  affiliate(room: string, changes: ReadonlyMap<string, string>): Promise<boolean>;
  destroy(
    room: string,
    how: { readonly venue?: string | undefined; readonly reason?: string | undefined },
  ): Promise<boolean>;
}

/** A node of publish-subscribe among others. */
export interface NodeSummary {
  /** The domain it is at. */
  readonly service: string;
  readonly node: string;
  /** The empty text where it has none. */
  readonly title: string;
  /** Bare JID. */
  readonly creator: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly items: number;
  /** Of payloads. */
  readonly bytes: number;
}

export interface NodeDetails extends Pick<NodeSummary, 'service' | 'node' | 'items' | 'bytes'> {
  readonly subscriptions: number;
  /** By bare JID. */
  readonly affiliations: Readonly<Record<string, string>>;
  /** By the names of the owner's form, without `pubsub#`. */
  readonly settings: Readonly<Record<string, readonly string[]>>;
}

/** The nodes at one domain, whatever process has them. All reject with an error called `NodeRefusal` for what is refused. */
export interface AdminNodes {
  list(): Promise<readonly NodeSummary[]>;
  /** Undefined where there is no such node. */
  show(node: string): Promise<NodeDetails | undefined>;
  /** With all that is published there; false where there is no such node. */
  delete(node: string): Promise<boolean>;
}

/** A file that somebody has sent. */
export interface SentFile {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  /** Bytes. */
  readonly size: number;
  readonly purpose: string;
  /** Milliseconds since 1970; without `expires` it stays. */
  readonly at: number;
  readonly expires?: number;
  readonly url: string | undefined;
}

/** The files of the people of one host, by localpart. All reject with StorageUnavailable. */
export interface AdminUploads {
  list(user: string): Promise<readonly SentFile[]>;
  /** Everybody who may have files. */
  people(): AsyncIterable<string>;
  /** Whose a file is, by its address or its id; undefined where there is none. */
  ownerOf(file: string): Promise<{ readonly user: string; readonly id: string } | undefined>;
  /** False where there is none. */
  remove(user: string, id: string): Promise<boolean>;
}

export interface SessionInfo {
  /** The full JID. */
  readonly jid: string;
  /** Our name for the client, where it has said which one it is. */
  readonly client?: string;
  /** Network address of the client; absent while the session waits to be resumed. */
  readonly address?: string;
  /** It waits to be resumed. */
  readonly hibernating: boolean;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly available: boolean;
  readonly priority: number;
  /** What its presence says beside being there: `away`, `xa`, `dnd`, `chat`. */
  readonly show?: string;
  /** How the client is connected, such as `TLSv1.3` or `websocket`. */
  readonly transport?: string;
  readonly node?: string;
}

export interface ServerStatus {
  readonly version: string;
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly started: number;
  /** The configuration file; absent when there is none. */
  readonly config?: string;
  readonly data: string;
  readonly hosts: readonly string[];
  /** The domains that rooms are at, and those of publish-subscribe. */
  readonly rooms: readonly string[];
  readonly pubsub: readonly string[];
  readonly listeners: readonly { readonly name: string; readonly address: string; readonly port: number }[];
  /** On all nodes. */
  readonly sessions: number;
  /** The names of all nodes, where there may be several. */
  readonly nodes?: readonly string[];
  /** Those that cannot be asked just now: what is on them is not counted. */
  readonly unknown?: readonly string[];
  /** Processes on this machine, where there are several. */
  readonly processes?: number;
  /** It is about to stop, and lets nobody new in. */
  readonly draining?: boolean;
  /** External components, connected or not. */
  readonly components: readonly {
    readonly domain: string;
    readonly connected: boolean;
    readonly address?: string;
  }[];
  readonly certificates: readonly {
    readonly host: string;
    /** `local`: made by the local authority. */
    readonly issuer: string;
    /** Milliseconds since 1970. */
    readonly expires: number;
  }[];
  readonly database: {
    readonly kind: 'embedded' | 'memory' | 'postgres';
    readonly ok: boolean;
    readonly problem?: string;
  };
  /** The latest first. */
  readonly errors: readonly { readonly at: number; readonly message: string }[];
}

/** One stream with another server. */
export interface ServerStreamInfo {
  readonly direction: 'in' | 'out';
  /** A domain of ours; undefined while the peer has not said which. */
  readonly host: string | undefined;
  /** Those that the peer has proved, or the one that is being connected to. */
  readonly domains: readonly string[];
  readonly state: string;
  readonly address: string | undefined;
  readonly tls: string | undefined;
  /** How names were proved. */
  readonly proof: string | undefined;
  readonly bidi: boolean;
  /** Which of several nodes has it. */
  readonly node?: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Stanzas. */
  readonly sent: number;
  readonly received: number;
  readonly waiting: number;
}

/** How it went to reach another server, step by step. */
export interface ReachReport {
  readonly domain: string;
  /** The domain of ours that it was tried for. */
  readonly host: string;
  readonly reached: boolean;
  readonly steps: readonly {
    /** `dns`, `tcp`, `tls`, `stream`, `certificate` or `authentication`. */
    readonly kind: string;
    /** A sentence for people. */
    readonly text: string;
    readonly ok: boolean;
    /** Milliseconds since the first step began. */
    readonly at: number;
  }[];
}

/** A node of the cluster. */
export interface NodeInfo {
  readonly name: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly started: number;
  readonly sessions: number;
  /** Frames that wait to be handled. */
  readonly inbox: number;
  /** How long what it handled last had waited, in milliseconds. */
  readonly lag: number;
  /** How many things with one owner it owns, how many went from it to other nodes, and how many it took over from dead ones. */
  readonly owned: number;
  readonly moved: number;
  readonly rebuilt: number;
  readonly draining: boolean;
  /** It answers this very question. */
  readonly self: boolean;
  /** It is said to be alive, and did not answer. */
  readonly silent?: boolean;
  /** It is a member, and does not serve yet. */
  readonly starting?: boolean;
  /** Nobody can ask it, because Redis does not answer or takes no writes. */
  readonly unknown?: boolean;
  /** Its hosts or components, or their settings, are not those of the node that was asked. */
  readonly differs?: boolean;
}

export interface ClusterStatus {
  /** Absent where there is one node that needs none. */
  readonly redis?: {
    readonly ok: boolean;
    readonly problem?: string;
    readonly version?: string;
    /** Of one round trip, in milliseconds. */
    readonly latency?: number;
  };
  readonly nodes: readonly NodeInfo[];
}

export interface DrainReport {
  readonly node: string;
  readonly draining: boolean;
  readonly sessions: number;
}

/** Nodes that were replaced, and by which. */
export interface RestartReport {
  readonly replaced: readonly { readonly node: string; readonly by: string }[];
}

export interface ReloadReport {
  /** Settings that changed and hold now. */
  readonly applied: readonly string[];
  /** Settings that changed and hold after a restart. */
  readonly restart: readonly string[];
  /** Nodes of other machines whose hosts or components are not these; absent where there are none. */
  readonly differs?: readonly string[];
}

/** What clients show of a domain. Both reject with StanzaError for what is refused. */
export interface AdminWorkspace {
  /** Undefined where nobody has set anything. The colour as `#rrggbb`. */
  identity(): Promise<
    | {
        readonly name: string;
        readonly color: string | undefined;
        readonly icon: { readonly type: string | undefined; readonly size: number } | undefined;
      }
    | undefined
  >;
  /** The icon in base64, `''` for none. */
  set(change: {
    readonly name?: string | undefined;
    readonly color?: string | undefined;
    readonly icon?: string | undefined;
  }): Promise<void>;
}

/** What a token of the REST interface stands for. */
export interface TokenGrant {
  /** See `api-scopes.ts`. */
  readonly scopes: readonly string[];
  readonly name?: string;
  /** The only domain that it is for, with its services; all, unless said. */
  readonly host?: string;
}
/** The tokens of the REST interface; those that administrators make are of the owner `''`. */
export type AdminTokens = Tokens<TokenGrant>;
export type AdminToken = KnownToken<TokenGrant>;

/** What commands may do; the server implements it, and the opened store of a stopped server in part. */
export interface AdminContext {
  /** The domains served, without those of their services. */
  readonly hosts: readonly string[];
  /** The domain whose service one is; itself for those of {@link hosts}, undefined where it is not served. */
  parentOf(domain: string): string | undefined;
  tokens(): MaybePromise<AdminTokens>;
  /** The domains that rooms are at, and those of publish-subscribe. */
  readonly rooms: readonly string[];
  readonly pubsub: readonly string[];
  /** The accounts of a host; nothing when it is not served. */
  accounts(host: string): AdminAccounts | undefined;
  /** The roles that accounts of a host may have, with what each of them may do; nothing when it is not served. */
  rolesOf(host: string): RoleTable | undefined;
  /** Those who are admins by the settings of a host, as bare JIDs. */
  adminsOf(host: string): readonly string[];
  /** The archives of a host; nothing when it is not served or keeps none. */
  archives(host: string): MaybePromise<AdminArchives | undefined>;
  /** The rooms at a domain; nothing where there are none. */
  roomsOf(domain: string): MaybePromise<AdminRooms | undefined>;
  /** The nodes of publish-subscribe at a domain; nothing where there are none. */
  nodesOf(domain: string): MaybePromise<AdminNodes | undefined>;
  /** The circles of a host; nothing where it is not served, or has none. */
  circlesOf(domain: string): MaybePromise<AdminCircles | undefined>;
  /** What clients show of a host; nothing where it is not served, or shows nothing. */
  workspaceOf(domain: string): MaybePromise<AdminWorkspace | undefined>;
  /** Accounts of a host that move to other addresses; nothing where it is not served, or nobody can. */
  movesOf(domain: string): MaybePromise<AdminMoves | undefined>;
  /** The files of the people of a host; nothing where it is not served, or they send none. */
  uploadsOf(domain: string): MaybePromise<AdminUploads | undefined>;
  /** Accounts with all they have, in files. */
  transfer(): AdminTransfer;
  /** The invitations of a host; nothing where it is not served, or has none. */
  invitationsOf(domain: string): MaybePromise<AdminInvitations | undefined>;
  /** What the people of a host are told by it; nothing where it is not served, or says nothing. */
  announcementsOf(domain: string): MaybePromise<AdminAnnouncements | undefined>;
  /** With whom of other servers a host talks; nothing where it is not served, or has no lists. */
  peersOf(domain: string): MaybePromise<AdminPeers | undefined>;
  /** What people have said of those they blocked; nothing where a host is not served, or takes no reports. */
  reportsOf(domain: string): MaybePromise<AdminReports | undefined>;
  /** What is known of the accounts of a host; nothing where it is not served. */
  peopleOf(domain: string): MaybePromise<AdminPeople | undefined>;
  sessions(): MaybePromise<readonly SessionInfo[]>;
  /** The names of nodes that cannot be asked for theirs just now. */
  unknown(): MaybePromise<readonly string[]>;
  /** Closes the sessions of a bare or full JID; returns how many. */
  kick(jid: string, reason?: string): MaybePromise<number>;
  /** The streams with other servers. */
  servers(): MaybePromise<readonly ServerStreamInfo[]>;
  /** Ends the streams with a domain; returns how many there were. */
  closeServer(domain: string): MaybePromise<number>;
  /** Tries to reach a domain, on behalf of a host of ours. Rejects with CommandError where the host does not federate. */
  reachServer(domain: string, host: string): Promise<ReachReport>;
  /** Reads the configuration again. Rejects with ConfigError, and then nothing has changed. */
  reload(): Promise<ReloadReport>;
  /** Begins an orderly stop and returns at once. */
  stop(): void;
  status(): MaybePromise<ServerStatus>;
  cluster(): MaybePromise<ClusterStatus>;
  /** A node of that name gives up its people, or serves again; this one unless named. Rejects with CommandError where there is none. */
  drain(node: string | undefined, isOn: boolean): Promise<DrainReport>;
  /** Replaces the nodes of this machine, one after another. Rejects with CommandError where there is but one process. */
  restart(): MaybePromise<RestartReport>;
  /** Sets the level of a part (`s2s`), or of all (`*`), for so many milliseconds or for good; on all nodes. */
  logLevel(part: string, level: LogLevel, forMs?: number): MaybePromise<void>;
}

/** A context over the store of a stopped server: accounts and what they have. */
export interface OfflineContext {
  readonly hosts: readonly string[];
  accounts(host: string): AdminAccounts | undefined;
  rolesOf(host: string): RoleTable | undefined;
  adminsOf(host: string): readonly string[];
  archives(host: string): MaybePromise<AdminArchives | undefined>;
  invitationsOf(domain: string): MaybePromise<AdminInvitations | undefined>;
  tokens(): MaybePromise<AdminTokens>;
  close(): Promise<void>;
}

/** A command: what it is called, what it takes, what it does, and how its result reads. */
export interface AdminCommand<C, S extends z.ZodObject, R extends object> {
  /** As typed: `user add`. */
  readonly name: string;
  readonly summary: string;
  readonly args: S;
  /** Whether it can run on the store of a stopped server. */
  readonly offline: boolean;
  /** Whether it changes nothing. */
  readonly readOnly?: boolean;
  /** Does the work. Refuses with CommandError. The result is plain JSON. */
  run(context: C, args: z.output<S>): MaybePromise<R>;
  /** The result for people, without a newline at the end. */
  render(result: R): string;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of commands holds many types of arguments and results
export type AnyCommand = AdminCommand<any, z.ZodObject, any>;

/** A command that needs a running server. */
export function defineCommand<S extends z.ZodObject, R extends object>(
  command: Omit<AdminCommand<AdminContext, S, R>, 'offline'>,
): AdminCommand<AdminContext, S, R> & { readonly offline: false } {
  return { ...command, offline: false };
}

/** A command that needs what is stored only, and so the store of a stopped server will do. */
export function defineOfflineCommand<S extends z.ZodObject, R extends object>(
  command: Omit<AdminCommand<OfflineContext | AdminContext, S, R>, 'offline'>,
): AdminCommand<OfflineContext | AdminContext, S, R> & { readonly offline: true } {
  return { ...command, offline: true };
}

/** Runs a command after checking its arguments. Rejects with CommandError, or with what the command met. */
export async function runCommand(
  command: AnyCommand,
  context: AdminContext | OfflineContext,
  args: unknown,
): Promise<object> {
  const parsed = command.args.safeParse(args ?? {});
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'arguments'}: ${issue.message}`);
    throw new CommandError('bad-arguments', `${command.name}: ${problems.join('; ')}`);
  }
  return command.run(context, parsed.data) as object | Promise<object>;
}
