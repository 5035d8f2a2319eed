// Takes sessions that can be resumed from one process to the next, for all hosts; see sm-store.ts.
import type { Logger } from '../base/log.ts';
import type { Host } from '../core/host.ts';
import type { Driver } from '../storage/ports.ts';
import type { Opened } from '../storage/specs.ts';
import type { StreamManagement } from './sm.ts';
import { StoredSessions, sessionStores } from './sm-store.ts';

export interface SessionRestartParts {
  readonly driver: Driver;
  readonly node: string;
  readonly log: Logger;
}

export class SessionRestart {
  private readonly parts: SessionRestartParts;
  private readonly byHost = new Map<Host, StoredSessions>();

  constructor(parts: SessionRestartParts) {
    this.parts = parts;
  }

  /** Sessions of hosts that are new go on where the process before left them; what waited for those that cannot is given back. */
  async bringBack(hosts: readonly Host[], sm: StreamManagement): Promise<void> {
    for (const host of hosts) await (await this.of(host)).bringBack((stored) => sm.restore(host, stored));
    if (hosts.length > 0) sm.beginExpiry();
    for (const host of hosts) {
      const stored = await this.of(host);
      await stored.giveBackLost((lost) => sm.giveBackStored(host, lost));
      await stored.markTaken();
    }
  }

  /** What clients could resume is kept for the next process. A database that cannot take it does not hold up the stop. */
  async keep(hosts: Iterable<Host>, sm: StreamManagement): Promise<void> {
    for (const host of hosts) {
      try {
        await (await this.of(host)).keep(sm.save(host));
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
    const { driver, node, log } = this.parts;
    const opened = await driver.open(host.domain, 'stream-management', sessionStores);
    const stored = new StoredSessions((opened as Opened<typeof sessionStores>).suspended, node, log);
    this.byHost.set(host, stored);
    return stored;
  }
}
