// One process: a cluster of one. Everything is local and synchronous.
import type { MaybePromise } from '../base/maybe.ts';
import { softwareVersion } from '../base/software.ts';
import type { BareJid } from '../xmpp/jid.ts';
import {
  type Cluster,
  type Directory,
  type Lease,
  type Leases,
  type NodeId,
  type SessionEntry,
  Unanswered,
} from './cluster.ts';

const none: readonly SessionEntry[] = [];

/** The directory of a single node. */
function createDirectory(): Directory & { readonly count: number } {
  let count = 0;
  const byUser = new Map<BareJid, SessionEntry[]>();
  return {
    get count() {
      return count;
    },
    sessions: (user) => byUser.get(user) ?? none,
    put(entry) {
      const entries = byUser.get(entry.jid.bare);
      if (entries === undefined) {
        count++;
        byUser.set(entry.jid.bare, [entry]);
        return undefined;
      }
      const at = entries.findIndex((one) => one.jid.resource === entry.jid.resource);
      const old = entries[at];
      if (old === undefined) count++;
      // a new array each time: readers may be in the middle of the old one
      byUser.set(entry.jid.bare, at < 0 ? [...entries, entry] : entries.with(at, entry));
      return old === undefined || old.sid === entry.sid ? undefined : old;
    },
    release() {},
    drop(jid, sid) {
      const entries = byUser.get(jid.bare) ?? none;
      const rest = entries.filter((one) => one.sid !== sid);
      count -= entries.length - rest.length;
      if (rest.length === 0) byUser.delete(jid.bare);
      else byUser.set(jid.bare, rest);
    },
  };
}

/** All is this node's. */
function createLeases(): Leases {
  const own = new Map<string, Lease>();
  let last = 0;
  return {
    claim(key) {
      const lease: Lease = {
        key,
        token: ++last,
        isAfterDeath: false,
        get isValid() {
          return own.get(key) === lease;
        },
        confirm: async () => own.get(key) === lease,
        release() {
          if (own.get(key) === lease) own.delete(key);
        },
      };
      own.set(key, lease);
      return lease;
    },
    take: () => undefined,
    orphans: () => [],
    onFence: () => () => {},
  };
}

/** The cluster of a server that runs alone. */
export function createSolo(): Cluster {
  const self = 'solo' as NodeId;
  const started = Date.now();
  const directory = createDirectory();
  const answers = new Map<string, (body: unknown, from: NodeId) => MaybePromise<unknown>>();
  let isDraining = false;
  return {
    self,
    nodes: new Set([self]),
    directory,
    leases: createLeases(),
    send() {},
    receive() {},
    async call(_node, method, body) {
      const fn = answers.get(method);
      if (fn === undefined) throw new Unanswered(`nobody answers ${method}`);
      return fn(body, self);
    },
    answer(method, fn) {
      answers.set(method, fn);
      return () => answers.delete(method);
    },
    publish() {},
    subscribe: () => () => {},
    owner: () => self,
    onNode: () => () => {},
    onExpelled: () => () => {},
    onOrphans: () => () => {},
    onDisplaced: () => () => {},
    onGap: () => () => {},
    drain(isOn) {
      isDraining = isOn;
    },
    members: () => [
      {
        node: self,
        name: self,
        version: softwareVersion(),
        started,
        sessions: directory.count,
        inbox: 0,
        lag: 0,
        isDraining,
      },
    ],
    async close() {},
  };
}
