// What administrators are told of all nodes, and do on any of them: each node answers for itself.
import type { Logger } from '../base/log.ts';
import { type Cluster, type Member, type NodeId, Unanswered } from '../cluster/cluster.ts';
import type { RedisCluster } from '../cluster/redis/redis.ts';
import { clientSlot } from '../core/client-slot.ts';
import type { DrainReport, NodeInfo, ServerStatus, ServerStreamInfo, SessionInfo } from '../core/commands.ts';
import type { LogLevel } from '../core/log.ts';
import type { Session } from '../core/sessions.ts';
import type { Server } from '../server.ts';
import { differing, settingsPrint } from './common-settings.ts';
import { isOnRedis } from './measures.ts';

/** Of a part, or of all (`*`); for good unless `forMs` says for how many milliseconds. */
export interface LevelChange {
  readonly part: string;
  readonly level: LogLevel;
  readonly forMs?: number;
}

/** What one node says of itself. */
export interface NodeStatus {
  readonly sessions: number;
  readonly components: ServerStatus['components'];
  readonly owners: OwnedCounts;
}

type OwnedCounts = Pick<NodeInfo, 'owned' | 'moved' | 'rebuilt'>;
const nothing: OwnedCounts = { owned: 0, moved: 0, rebuilt: 0 };
/** `starting`: it is a member, and no server yet; `unknown`: without Redis it cannot be asked. */
type Condition = 'serving' | 'starting' | 'silent' | 'unknown';
type MemberStatus = Member &
  OwnedCounts & { readonly isSelf: boolean; readonly condition: Condition; readonly differs: boolean };

type Outcome<T> =
  | { readonly id: NodeId; readonly condition: 'serving'; readonly answer: T }
  | { readonly id: NodeId; readonly condition: Exclude<Condition, 'serving'>; readonly why: string };

/** After a change, the other machines are given so long to follow before it is said that they have not, in milliseconds. */
const FOLLOWING = 60_000;
/** A node that has come says what its settings are with one of its next signs of life, in milliseconds. */
const COMING = 5_000;

const calls = {
  sessions: 'admin.sessions',
  servers: 'admin.servers',
  closeServer: 'admin.close-server',
  status: 'admin.status',
  drain: 'admin.drain',
  logLevel: 'admin.log-level',
} as const;

export class ClusterAdmin {
  private readonly server: Server;
  private readonly cluster: Cluster;
  private readonly log: Logger;
  private readonly secret: string;
  private comparing: NodeJS.Timeout | undefined;
  /** Those that were said to have other settings, since this node has these. */
  private others = '';

  /** How the log of this process is changed; whoever made the log says it. */
  setLogLevel: (change: LevelChange) => void = () => {};

  /** @param secret that all nodes share */
  constructor(server: Server, cluster: Cluster, log: Logger, secret: string) {
    this.server = server;
    this.cluster = cluster;
    this.log = log;
    this.secret = secret;
    cluster.answer(calls.sessions, () => this.ownSessions());
    cluster.answer(calls.servers, () => server.federation.streams());
    cluster.answer(calls.closeServer, (domain) => server.federation.closeDomain(String(domain)));
    cluster.answer(calls.status, () => this.ownStatus());
    cluster.answer(calls.logLevel, (change) => this.setLogLevel(change as LevelChange));
    cluster.answer(calls.drain, (isOn) => this.drainSelf(isOn === true));
    cluster.onNode((_node, isUp) => {
      if (isUp) this.compareIn(COMING);
    });
    void this.configured(COMING);
  }

  /** The configuration is another: all nodes are told what tells it from theirs. */
  async configured(patience: number = FOLLOWING): Promise<void> {
    if (!isOnRedis(this.cluster)) return;
    this.others = '';
    await this.cluster.announce(settingsPrint(this.server.config, this.secret));
    this.compareIn(patience);
  }

  /** The names of nodes that serve other domains or components, or serve them otherwise; none while Redis is away. */
  async differing(): Promise<readonly string[]> {
    if (isOnRedis(this.cluster) && !this.cluster.isUp) return [];
    const members = await this.cluster.members();
    return differing(members, this.cluster.self).map(({ name }) => name);
  }

  /** Tells which life this is, now and when it is another. */
  onLife(fn: (life: NodeId) => void): void {
    fn(this.cluster.self);
    this.cluster.onExpelled(() => fn(this.cluster.self));
  }

  /** The process in which another node lived has ended: whoever knows that saw it end. */
  async bury(life: NodeId): Promise<void> {
    if (isOnRedis(this.cluster)) await this.cluster.bury(life);
  }

  private compareIn(ms: number): void {
    if (!isOnRedis(this.cluster)) return;
    clearTimeout(this.comparing);
    this.comparing = setTimeout(() => {
      this.compare().catch((err: unknown) => this.log.debug({ err }, 'the settings of the nodes are not compared'));
    }, ms).unref();
  }

  private async compare(): Promise<void> {
    const nodes = await this.differing();
    const others = nodes.join(' ');
    if (others === this.others) return;
    this.others = others;
    if (others === '') return;
    this.log.warn(
      { nodes },
      'other nodes have other hosts or components, or other settings for them: correct one of the files, and "parley reload" there',
    );
  }

  get hasOthers(): boolean {
    return this.cluster.nodes.size > 1;
  }

  /** The names of the nodes that cannot be asked for anything just now, because Redis fails. */
  async unknown(): Promise<readonly string[]> {
    const { cluster } = this;
    if (!isOnRedis(cluster) || isUsable(cluster)) return [];
    const members = await cluster.members();
    return members.filter(({ node }) => node !== cluster.self).map(({ name }) => name);
  }

  async sessions(): Promise<readonly SessionInfo[]> {
    const all = await this.everywhere<readonly SessionInfo[]>(calls.sessions, undefined, () => this.ownSessions());
    return all.flatMap(({ node, answer }) => answer.map((session) => ({ ...session, node })));
  }

  async servers(): Promise<readonly ServerStreamInfo[]> {
    const own = (): readonly ServerStreamInfo[] => this.server.federation.streams();
    const all = await this.everywhere<readonly ServerStreamInfo[]>(calls.servers, undefined, own);
    return all.flatMap(({ node, answer }) => answer.map((stream) => (this.hasOthers ? { ...stream, node } : stream)));
  }

  async closeServer(domain: string): Promise<number> {
    const own = (): number => this.server.federation.closeDomain(domain);
    const all = await this.everywhere<number>(calls.closeServer, domain, own);
    return all.reduce((sum, { answer }) => sum + answer, 0);
  }

  async logLevel(change: LevelChange): Promise<void> {
    await this.everywhere<void>(calls.logLevel, change, () => this.setLogLevel(change));
  }

  /** Of all nodes that answer. */
  async status(): Promise<Omit<NodeStatus, 'owners'> & { readonly nodes: readonly string[] }> {
    const all = await this.everywhere<NodeStatus>(calls.status, undefined, () => this.ownStatus());
    const components = new Map<string, ServerStatus['components'][number]>();
    for (const { answer } of all) {
      for (const one of answer.components) {
        if (one.connected || !components.has(one.domain)) components.set(one.domain, one);
      }
    }
    return {
      sessions: all.reduce((sum, { answer }) => sum + answer.sessions, 0),
      components: [...components.values()],
      nodes: all.map(({ node }) => node),
    };
  }

  /** As the cluster sees them, and which of them answer. */
  async members(): Promise<readonly MemberStatus[]> {
    const members = await this.cluster.members();
    const outcomes = await this.askAll<NodeStatus>(calls.status, undefined, () => this.ownStatus());
    const nodes = new Map(outcomes.map((outcome) => [outcome.id, outcome]));
    const others = new Set(differing(members, this.cluster.self));
    return [...members]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((member) => {
        const outcome = nodes.get(member.node);
        const answer = outcome?.condition === 'serving' ? outcome.answer : undefined;
        return {
          ...member,
          // what is told with a heartbeat is a little old
          sessions: answer?.sessions ?? member.sessions,
          ...(answer?.owners ?? nothing),
          isSelf: member.node === this.cluster.self,
          // (one that came while the others were asked)
          condition: outcome?.condition ?? 'starting',
          differs: others.has(member),
        };
      });
  }

  /** Begins or ends the draining of a node, this one unless named; undefined where there is none of that name. */
  async drain(name: string | undefined, isOn: boolean): Promise<DrainReport | undefined> {
    const members = await this.cluster.members();
    const found = members.find((one) => (name === undefined ? one.node === this.cluster.self : one.name === name));
    if (found === undefined) return undefined;
    const sessions =
      found.node === this.cluster.self
        ? await this.drainSelf(isOn)
        : ((await this.ask(found.node, calls.drain, isOn)) as number);
    return { node: found.name, draining: isOn, sessions };
  }

  private async everywhere<T>(
    call: string,
    body: unknown,
    own: () => T,
  ): Promise<readonly { readonly id: NodeId; readonly node: string; readonly answer: T }[]> {
    const { cluster } = this;
    if (!this.hasOthers) return [{ id: cluster.self, node: cluster.self, answer: own() }];
    const names = new Map((await cluster.members()).map(({ node, name }) => [node, name]));
    return (await this.askAll(call, body, own)).flatMap((outcome) => {
      const node = names.get(outcome.id) ?? outcome.id;
      if (outcome.condition === 'serving') return [{ id: outcome.id, node, answer: outcome.answer }];
      if (outcome.condition === 'silent') this.log.warn({ node, why: outcome.why }, `a node does not answer ${call}`);
      return [];
    });
  }

  /** Each node, and what it answers, or why it does not. */
  private askAll<T>(call: string, body: unknown, own: () => T): Promise<readonly Outcome<T>[]> {
    const { cluster } = this;
    const asked = [...cluster.nodes].map(async (id): Promise<Outcome<T>> => {
      if (id === cluster.self) return { id, condition: 'serving', answer: own() };
      try {
        return { id, condition: 'serving', answer: (await this.ask(id, call, body)) as T };
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        const isAway = isOnRedis(cluster) && !isUsable(cluster);
        return { id, condition: isAway ? 'unknown' : error instanceof Unanswered ? 'starting' : 'silent', why };
      }
    });
    return Promise.all(asked);
  }

  /** Without Redis nobody can be asked: that is known at once, and need not be waited for. */
  private async ask(node: NodeId, call: string, body: unknown): Promise<unknown> {
    const { cluster } = this;
    if (!isOnRedis(cluster)) return cluster.call(node, call, body);
    const away = 'other nodes are asked through Redis, which does not answer or takes no writes';
    if (!isUsable(cluster)) throw new Error(away);
    let forget = (): void => {};
    const falling = new Promise<never>((_, reject) => {
      forget = cluster.redis.onDown(() => reject(new Error(away)));
    });
    try {
      return await Promise.race([cluster.call(node, call, body), falling]);
    } finally {
      forget();
    }
  }

  private ownSessions(): readonly SessionInfo[] {
    return [...this.server.sessions.all()].map(describeSession);
  }

  private ownStatus(): NodeStatus {
    const { sessions, components, owners } = this.server;
    const { owned, moved, rebuilt } = owners.figures();
    const count = Object.values(owned).reduce((sum, one) => sum + one, 0);
    return { sessions: sessions.count, components: components.list(), owners: { owned: count, moved, rebuilt } };
  }

  /** Returns how many sessions there are still. */
  private async drainSelf(isOn: boolean): Promise<number> {
    if (!isOn) await this.server.serveAgain();
    else {
      this.server
        .drain()
        .catch((error: unknown) => this.log.error({ err: error }, 'the node could not give up all its sessions'));
    }
    return this.server.sessions.count;
  }
}

function isUsable({ isUp, isRefused }: RedisCluster): boolean {
  return isUp && !isRefused;
}

function describeSession(session: Session): SessionInfo {
  const client = session.get(clientSlot);
  const show = session.presence?.el.getChildText('show') || undefined;
  return {
    jid: session.jid.full,
    ...(client === undefined ? {} : { client }),
    hibernating: session.stream === undefined,
    since: session.since,
    available: session.available,
    priority: session.priority,
    ...(show === undefined ? {} : { show }),
    node: session.node,
    ...(session.stream === undefined ? {} : { address: session.stream.address, transport: session.stream.transport }),
  };
}
