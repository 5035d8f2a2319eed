// The last item, for those who come late (XEP-0060 6.1.7, 12.10).
import type { Item } from '../../storage/ports.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Node } from './node.ts';
import { lastItemMessage } from './notices.ts';
import { letterhead } from './notify.ts';
import type { Shelf } from './shelf.ts';

/** What a node has published last; undefined where there is nothing, or nobody remembers. */
function newestOf({ ports }: Shelf, node: Node): Promise<Item | undefined> {
  return node.config.isPersistent ? ports.rows.items.newest(node.name) : Promise.resolve(node.last);
}

/** Sends the last item to people who may have it, before whatever is told of the node after this. Nobody waits for it. */
export function sendLastItem(shelf: Shelf, node: Node, to: readonly Jid[]): void {
  if (!node.config.deliversNotifications || to.length === 0) return;
  shelf.inOrder(node.name, 'sending the last item', async () => {
    const item = await newestOf(shelf, node);
    if (item === undefined || node.isOver) return;
    shelf.ports.tell(lastItemMessage(letterhead(shelf, node), node.name, item, node.config), to);
  });
}
