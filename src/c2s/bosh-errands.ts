// Requests of BOSH that come to another node than their session is on (XEP-0124 14): they are taken there, and their responses come back.
// Only the node of the session knows what is due; the other one has the connections.
import type { Cluster, NodeId } from '../cluster/cluster.ts';
import { nodeIn } from '../core/moves.ts';
import type { BoshElsewhere, BoshErrand } from '../net/bosh.ts';
import { terminalBody } from '../net/bosh-body.ts';
import { type BoshReply, XML_TYPE } from '../net/bosh-http.ts';

const calls = { request: 'bosh.request', response: 'bosh.response', lost: 'bosh.lost' } as const;

/** Each byte of the body is a character. */
interface Request {
  readonly id: number;
  readonly sid: string;
  readonly body: string;
  readonly isConfidential: boolean;
}

interface Response {
  readonly id: number;
  /** Absent where the connection is to be dropped. */
  readonly given?: { readonly status: number; readonly type: string; readonly body: string };
}

interface Waiting {
  readonly node: NodeId;
  readonly reply: BoshReply;
}

export class BoshErrands implements BoshElsewhere {
  private readonly cluster: Cluster;
  private readonly take: (errand: BoshErrand) => void;
  private lastId = 0;
  /** Requests that are with other nodes. */
  private readonly waiting = new Map<number, Waiting>();
  /** Responses that are due to other nodes, by node and number. */
  private readonly due = new Map<string, RemoteReply>();

  /** @param take takes a request of a session of this node */
  constructor(cluster: Cluster, take: (errand: BoshErrand) => void) {
    this.cluster = cluster;
    this.take = take;
    cluster.answer(calls.request, (body, from) => this.requested(body as Request, from));
    cluster.answer(calls.response, (body, from) => this.responded(body as Response, from));
    cluster.answer(calls.lost, (id, from) => this.due.get(`${from} ${id}`)?.lose());
    cluster.onNode((node, isUp) => {
      if (!isUp) this.withoutNode(node);
    });
  }

  get suffix(): string {
    return `.${this.cluster.self}`;
  }

  has(sid: string): boolean {
    const node = nodeIn(sid);
    return node !== this.cluster.self && this.cluster.nodes.has(node);
  }

  pass({ sid, body, isConfidential, reply }: BoshErrand): void {
    const node = nodeIn(sid);
    const id = ++this.lastId;
    this.waiting.set(id, { node, reply });
    reply.onLost(() => {
      if (this.waiting.delete(id)) this.cluster.call(node, calls.lost, id).catch(() => {});
    });
    const request: Request = { id, sid, body: body.toString('latin1'), isConfidential };
    this.cluster.call(node, calls.request, request).catch(() => {
      // perhaps it was taken: the client sends it again, and is given the same response then
      if (this.waiting.delete(id)) this.giveUp(node, reply);
    });
  }

  private giveUp(node: NodeId, reply: BoshReply): void {
    if (this.cluster.nodes.has(node)) reply.drop();
    else reply.give(200, XML_TYPE, terminalBody('item-not-found'));
  }

  private requested({ id, sid, body, isConfidential }: Request, from: NodeId): void {
    const key = `${from} ${id}`;
    const reply = new RemoteReply((given) => {
      this.due.delete(key);
      const response: Response = { id, ...(given === undefined ? {} : { given }) };
      // whoever does not get it asks for it again
      this.cluster.call(from, calls.response, response).catch(() => {});
    });
    this.due.set(key, reply);
    this.take({ sid, body: Buffer.from(body, 'latin1'), isConfidential, reply });
  }

  private responded({ id, given }: Response, from: NodeId): void {
    const waiting = this.waiting.get(id);
    if (waiting?.node !== from) return;
    this.waiting.delete(id);
    if (given === undefined) waiting.reply.drop();
    else if (!waiting.reply.isGiven) waiting.reply.give(given.status, given.type, given.body);
  }

  private withoutNode(node: NodeId): void {
    for (const [id, { node: other, reply }] of this.waiting) {
      if (other === node && this.waiting.delete(id)) this.giveUp(node, reply);
    }
    for (const [key, reply] of this.due) {
      if (!key.startsWith(`${node} `)) continue;
      this.due.delete(key);
      reply.lose();
    }
  }
}

/** A response that another node gives. */
class RemoteReply implements BoshReply {
  isGiven = false;
  private readonly lost: (() => void)[] = [];
  private readonly done: (given?: Response['given']) => void;

  constructor(done: (given?: Response['given']) => void) {
    this.done = done;
  }

  give(status: number, type: string, body: string): void {
    if (this.isGiven) return;
    this.isGiven = true;
    this.done({ status, type, body });
  }

  drop(): void {
    this.isGiven = true;
    this.done();
  }

  onLost(fn: () => void): void {
    this.lost.push(fn);
  }

  lose(): void {
    if (!this.isGiven) for (const fn of this.lost) fn();
  }
}
