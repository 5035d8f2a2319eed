// Nodes that the service makes for what it keeps there itself (XEP-0465): nobody else writes to them.
import type { MaybePromise } from '../../base/maybe.ts';
import { parseElement } from '../../xml/document.ts';
import { layOut } from './create.ts';
import { removeNode } from './delete.ts';
import { nodeCreated } from './hooks.ts';
import type { Node } from './node.ts';
import { payloadText } from './notices.ts';
import { publishOwn } from './publish.ts';
import { retractOwn } from './retract.ts';
import type { Shelf } from './shelf.ts';

/**
 * At a node that stands alone: an item is there from now on, or is not any more.
 * @param xml its payload; undefined takes it back
 */
export function keepOwn(shelf: Shelf, name: string, id: string, xml: string | undefined): MaybePromise<void> {
  return shelf.run(name, async () => {
    const { items } = shelf.ports.rows;
    const there = await shelf.find(name);
    if (xml === undefined) {
      if (there === undefined) return;
      await retractOwn(shelf, there, [id]);
      if ((await items.usage(name)).items === 0) await removeNode(shelf, there, shelf.jid);
      return;
    }
    const payload = parseElement(xml);
    const [before] = there === undefined ? [] : await items.get(name, [id]);
    if (before?.xml === payloadText(payload)) return;
    await publishOwn(shelf, there ?? (await beginAlone(shelf, name)), id, payload);
  });
}

async function beginAlone(shelf: Shelf, name: string): Promise<Node> {
  const { jid: service, ports } = shelf;
  await ports.rows.items.clear(name);
  const node = await layOut(shelf, { name, creator: service.bare, config: shelf.defaults(name), isManaged: true });
  ports.hooks.notify(nodeCreated, { service, node, creator: service });
  return node;
}
