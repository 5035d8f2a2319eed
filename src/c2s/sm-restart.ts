// Takes sessions that can be resumed from one process to the next, for all hosts; see sm-store.ts.
import type { Logger } from '../base/log.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Host } from '../core/host.ts';
import type { Driver } from '../storage/ports.ts';
import type { Opened } from '../storage/specs.ts';
import type { StreamManagement } from './sm.ts';
import { type Comeback, type StoredSession, StoredSessions, sessionStores } from './sm-store.ts';

export interface SessionRestartParts {
  readonly driver: Driver;
  readonly cluster: Cluster;
  readonly log: Logger;
}

export class SessionRestart {
  private readonly parts: SessionRestartParts;
  private readonly byHost = new Map<Host, StoredSessions>();

  constructor(parts: SessionRestartParts) {
    this.parts = parts;
  }

  /**
   * Sessions that wait for anybody go on where the process before left them; what waited for those that cannot is given back. At the
   * start, for hosts that are new, and when a node is no more.
   */
  async bringBack(hosts: Iterable<Host>, sm: StreamManagement): Promise<void> {
    const lost = new Map<StoredSessions, readonly [Host, readonly StoredSession[]]>();
    for (const host of hosts) {
      const stored = await this.of(host);
      lost.set(stored, [host, await stored.takeAll((state) => sm.restore(host, state))]);
    }
    sm.beginExpiry();
    for (const [stored, [host, list]] of lost) {
      await stored.giveBack(list, (state) => sm.giveBackStored(host, state));
    }
  }

  /** Brings back one session of an account, if it waits for anybody. */
  async claim(host: Host, user: string, id: string, how: Comeback): Promise<void> {
    await (await this.of(host)).takeOne(user, id, how);
  }

  /** What clients could resume is kept for the next process. A database that cannot take it does not hold up the stop. */
  async keep(hosts: Iterable<Host>, sm: StreamManagement): Promise<void> {
    for (const host of hosts) {
      try {
        await (await this.of(host)).keep(sm.save(host));
        await sm.withdraw(host);
      } catch (error) {
        this.parts.log.error({ err: error, host: host.domain }, 'the sessions of clients could not be kept');
      }
    }
  }

  /** A session was resumed, or is over. */
  async forget(host: Host, id: string): Promise<void> {
    await this.byHost.get(host)?.forget(id);
  }

  /** A host is served no more, and its sessions are over. */
  drop(host: Host): void {
    this.byHost.delete(host);
  }

  private async of(host: Host): Promise<StoredSessions> {
    const known = this.byHost.get(host);
    if (known !== undefined) return known;
    const { driver, cluster, log } = this.parts;
    const opened = await driver.open(host.domain, 'stream-management', sessionStores);
    const stored = new StoredSessions((opened as Opened<typeof sessionStores>).suspended, cluster, log);
    this.byHost.set(host, stored);
    return stored;
  }
}
