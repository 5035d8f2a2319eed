// What administrators are told of all nodes, and do on any of them: each node answers for itself.
import type { Logger } from '../base/log.ts';
import type { Cluster, Member, NodeId } from '../cluster/cluster.ts';
import type { DrainReport, NodeInfo, ServerStatus, ServerStreamInfo, SessionInfo } from '../core/commands.ts';
import type { LogLevel } from '../core/log.ts';
import { clientSlot, type Session } from '../core/sessions.ts';
import type { Server } from '../server.ts';

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
type MemberStatus = Member & OwnedCounts & { readonly isSelf: boolean; readonly answers: boolean };

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

  /** How the log of this process is changed; whoever made the log says it. */
  setLogLevel: (change: LevelChange) => void = () => {};

  constructor(server: Server, cluster: Cluster, log: Logger) {
    this.server = server;
    this.cluster = cluster;
    this.log = log;
    cluster.answer(calls.sessions, () => this.ownSessions());
    cluster.answer(calls.servers, () => server.federation.streams());
    cluster.answer(calls.closeServer, (domain) => server.federation.closeDomain(String(domain)));
    cluster.answer(calls.status, () => this.ownStatus());
    cluster.answer(calls.logLevel, (change) => this.setLogLevel(change as LevelChange));
    cluster.answer(calls.drain, (isOn) => this.drainSelf(isOn === true));
  }

  get hasOthers(): boolean {
    return this.cluster.nodes.size > 1;
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
    const answering = await this.everywhere<NodeStatus>(calls.status, undefined, () => this.ownStatus());
    const nodes = new Map(answering.map(({ id, answer }) => [id, answer]));
    return [...members]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((member) => ({
        ...member,
        // what is told with a heartbeat is a little old
        sessions: nodes.get(member.node)?.sessions ?? member.sessions,
        ...(nodes.get(member.node)?.owners ?? nothing),
        isSelf: member.node === this.cluster.self,
        answers: nodes.has(member.node),
      }));
  }

  /** Begins or ends the draining of a node, this one unless named; undefined where there is none of that name. */
  async drain(name: string | undefined, isOn: boolean): Promise<DrainReport | undefined> {
    const members = await this.cluster.members();
    const found = members.find((one) => (name === undefined ? one.node === this.cluster.self : one.name === name));
    if (found === undefined) return undefined;
    const sessions =
      found.node === this.cluster.self
        ? await this.drainSelf(isOn)
        : ((await this.cluster.call(found.node, calls.drain, isOn)) as number);
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
    const asked = [...cluster.nodes].map(async (id) => {
      try {
        const answer = id === cluster.self ? own() : ((await cluster.call(id, call, body)) as T);
        return [{ id, node: names.get(id) ?? id, answer }];
      } catch (error) {
        this.log.warn({ err: error, node: names.get(id) ?? id }, `a node does not answer ${call}`);
        return [];
      }
    });
    return (await Promise.all(asked)).flat();
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

function describeSession(session: Session): SessionInfo {
  const client = session.get(clientSlot);
  return {
    jid: session.jid.full,
    ...(client === undefined ? {} : { client }),
    hibernating: session.stream === undefined,
    since: session.since,
    available: session.available,
    priority: session.priority,
    node: session.node,
    ...(session.stream === undefined ? {} : { address: session.stream.address, transport: session.stream.transport }),
  };
}
