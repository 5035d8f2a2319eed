// Ends sessions from the server's side, on whichever node they are. A node that does not answer holds nobody up: it is told again until
// it has answered or is no more, in which case its sessions are over, too.
import type { Clock } from '../base/clock.ts';
import type { Cluster, SessionEntry } from '../cluster/cluster.ts';
import { type StreamCondition, StreamError } from '../xmpp/errors.ts';
import type { BareJid } from '../xmpp/jid.ts';
import { sessionOrphaned } from './events.ts';
import type { Host } from './host.ts';
import type { Moves } from './moves.ts';

/** Asks the node that holds a session to end it. */
interface CloseRequest {
  readonly full: string;
  readonly sid: string;
  readonly condition: StreamCondition;
  readonly text?: string;
  /** The session that takes its place. */
  readonly by?: string;
}

const METHOD = 'session.close';
const MAKE_ROOM = 'session.make-room';
/** For the old one of two sessions with one address. */
export function replaced(): StreamError {
  return new StreamError('conflict', 'another connection took this resource');
}

/** So long is waited for another node's answer, in milliseconds; and so long until it is told again. */
const PATIENCE = 2_000;
const AGAIN = 5_000;

export class Closings {
  private readonly cluster: Cluster;
  private readonly clock: Clock;
  private readonly moves: Moves;
  private readonly end: (full: string, sid: string, error: StreamError) => Promise<boolean>;
  private readonly endWaiting: (user: BareJid) => Promise<boolean>;
  /** What each session is taking the place of just now, by sids. */
  private readonly replacing = new Map<string, Set<string>>();
  private isStopped = false;

  /**
   * @param end ends a session of this node; false where it is not here
   * @param endWaiting ends a session of an account that waits on this node for its client; false where there is none
   */
  constructor(
    cluster: Cluster,
    clock: Clock,
    moves: Moves,
    end: (full: string, sid: string, error: StreamError) => Promise<boolean>,
    endWaiting: (user: BareJid) => Promise<boolean>,
  ) {
    this.cluster = cluster;
    this.clock = clock;
    this.moves = moves;
    this.end = end;
    this.endWaiting = endWaiting;
    cluster.answer(METHOD, (body) => this.closeHere(body as CloseRequest));
    cluster.answer(MAKE_ROOM, (user) => endWaiting(user as BareJid));
  }

  /**
   * Ends a session. Resolves when it is over, or its node does not answer for the moment.
   * @param by the session that takes its place
   * @param lost is called where its node is no more
   */
  async close(
    { jid, sid, node }: SessionEntry,
    { condition, text }: StreamError,
    by?: string,
    lost?: () => void,
  ): Promise<void> {
    const request: CloseRequest = {
      full: jid.full,
      sid,
      condition,
      ...(text === undefined ? {} : { text }),
      ...(by === undefined ? {} : { by }),
    };
    if (node === this.cluster.self) {
      await this.closeHere(request);
      return;
    }
    if (by !== undefined) this.note(by, sid);
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.clock.after(PATIENCE, resolve);
    });
    const done = this.tell(node, request, lost).finally(() => {
      if (by !== undefined) this.forget(by, sid);
    });
    await Promise.race([done, late]);
    cancel();
  }

  /**
   * Ends a session whose full JID another one has now. Where it has died with its node, nobody else tells those who had seen it: it is
   * out of the directory already.
   */
  replace(entry: SessionEntry, host: Host): Promise<void> {
    const tell = async (): Promise<void> => host.collect(sessionOrphaned, { entry });
    return this.close(entry, replaced(), undefined, () => {
      tell().catch((err: unknown) => host.log.error({ err }, 'nobody was told that a session has gone with its node'));
    });
  }

  /**
   * Ends the sessions of an account, or those of them that are meant, on all nodes. Returns how many there were.
   * @param by the session that takes their place
   */
  async closeAccount(
    user: BareJid,
    error: StreamError,
    isMeant: (entry: SessionEntry) => boolean = () => true,
    by?: string,
  ): Promise<number> {
    const chosen = (await this.sessionsOf(user)).filter(isMeant);
    await Promise.all(chosen.map((entry) => this.close(entry, error, by)));
    return chosen.length;
  }

  /**
   * As {@link closeAccount}, for sessions that must not go on: those that cannot be found for the moment are ended when they can be.
   * @throws StorageUnavailable where nothing is known of them until then
   */
  async endAccount(
    user: BareJid,
    error: StreamError,
    isMeant: (entry: SessionEntry) => boolean = () => true,
  ): Promise<void> {
    const unsure = (): void => void this.clock.after(AGAIN, () => void this.endLater(user, error, isMeant));
    const entries = await this.sessionsOf(user, unsure);
    await Promise.all(entries.filter(isMeant).map((entry) => this.close(entry, error)));
  }

  private async endLater(user: BareJid, error: StreamError, isMeant: (entry: SessionEntry) => boolean): Promise<void> {
    if (this.isStopped) return;
    await this.endAccount(user, error, isMeant).catch(() => {});
  }

  /**
   * Where an account has more sessions than it may have on all nodes together, one of them ends that waits for its client. Returns
   * whether there are no more than it may have.
   */
  async makeRoom(bare: BareJid, limit: number): Promise<boolean> {
    const { cluster } = this;
    // (this node has put one just now, and was told of the others)
    const entries = await cluster.directory.sessions(bare);
    if (entries.length <= limit) return true;
    const nodes = new Set([cluster.self, ...entries.map(({ node }) => node)]);
    for (const node of nodes) {
      const isMade =
        node === cluster.self ? this.endWaiting(bare) : cluster.call(node, MAKE_ROOM, bare).catch(() => false);
      if ((await isMade) === true) return true;
    }
    return false;
  }

  /** All that there are by now; all that are known, where that cannot be told: `unsure` is called then. */
  private async sessionsOf(user: BareJid, unsure?: () => void): Promise<readonly SessionEntry[]> {
    const { directory } = this.cluster;
    try {
      return await directory.sessions(user, true);
    } catch {
      unsure?.();
      return directory.sessions(user);
    }
  }

  private async tell(node: SessionEntry['node'], request: CloseRequest, lost?: () => void): Promise<void> {
    try {
      await this.cluster.call(node, METHOD, request);
    } catch {
      if (this.isStopped) return;
      if (this.cluster.nodes.has(node)) this.clock.after(AGAIN, () => void this.tell(node, request, lost));
      else lost?.();
    }
  }

  private async closeHere(request: CloseRequest): Promise<boolean> {
    const { full, sid, condition, text, by } = request;
    // each of two takes the other one's place: they agree on the one that stays
    if (by !== undefined && sid > by && this.replacing.get(sid)?.has(by)) return false;
    if (await this.end(full, sid, new StreamError(condition, text))) return true;
    const place = this.moves.whither(sid);
    return place !== undefined && (await this.cluster.call(place, METHOD, request)) === true;
  }

  /** Nobody is told any more. */
  stop(): void {
    this.isStopped = true;
  }

  private note(by: string, sid: string): void {
    const known = this.replacing.get(by);
    if (known === undefined) this.replacing.set(by, new Set([sid]));
    else known.add(sid);
  }

  private forget(by: string, sid: string): void {
    const known = this.replacing.get(by);
    known?.delete(sid);
    if (known?.size === 0) this.replacing.delete(by);
  }
}
