// Whether anything at a host depends on who is online. As long as nothing ever did, nobody who comes or goes costs more than a look at that.
import type { Lease } from '../../cluster/cluster.ts';
import { type NodeConfig, plainConfig } from './config.ts';
import type { EntityRow, NodeRow } from './rows.ts';
import { type NodeStores, StoredRows } from './stores.ts';

/** Whether a node does something when its subscribers come or go. */
export function heedsComings({ sendLast, isTemporary }: Pick<NodeConfig, 'sendLast' | 'isTemporary'>): boolean {
  return sendLast === 'on_sub_and_presence' || isTemporary;
}

/** Whether somebody has subscribed for as long as they are online. */
export function isWhileOnline({ subscriptions = [] }: EntityRow): boolean {
  return subscriptions.some(({ options }) => options?.expire === 'presence');
}

/** Rows of nodes; says so before the first one is written that heeds who is online. */
export class HeedingRows extends StoredRows {
  private readonly begin: () => Promise<void>;
  private readonly plain: Pick<NodeConfig, 'sendLast' | 'isTemporary'>;

  /** @param plain what a node is that says nothing */
  constructor(
    stores: NodeStores,
    owner: string,
    lease: Lease,
    begin: () => Promise<void>,
    plain: NodeConfig = plainConfig,
  ) {
    super(stores, owner, lease);
    this.begin = begin;
    this.plain = plain;
  }

  override async saveNode(name: string, row: NodeRow | undefined): Promise<void> {
    if (row !== undefined && heedsComings({ ...this.plain, ...row.config })) await this.begin();
    return super.saveNode(name, row);
  }

  override async saveEntities(name: string, rows: ReadonlyMap<string, EntityRow | undefined>): Promise<void> {
    if ([...rows.values()].some((row) => row !== undefined && isWhileOnline(row))) await this.begin();
    return super.saveEntities(name, rows);
  }
}
