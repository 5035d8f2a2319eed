// The nodes of an account as service discovery lists them (XEP-0163 6.2): "only those nodes to which the contact is allowed to subscribe or from
// which the contact is allowed to retrieve items".
import type { Item } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import type { Contact, ServicePorts } from '../pubsub/ports.ts';
import type { EntityRow } from '../pubsub/rows.ts';
import type { Service } from '../pubsub/shelf.ts';
import { typeFilterIn } from '../pubsub/type-filter.ts';

/**
 * In an order that does not change while somebody turns the pages.
 * @param query of disco#items
 * @throws StanzaError where it asks for what cannot be
 */
export async function visibleNodes(service: Service<ServicePorts>, asker: Jid, query: Element): Promise<Item[]> {
  const { jid, ports } = service;
  const isWanted = typeFilterIn(query);
  const all = await ports.directory.nodes();
  if (all.size === 0) return [];
  const isOwn = asker.bare === jid.bare;
  const contact = isOwn ? undefined : await ports.people.contact(jid.bare, asker);
  const rows = isOwn ? new Map<string, EntityRow>() : await ports.directory.of(asker.bare);
  const items: Item[] = [];
  for (const [node, { config: differences, movedTo }] of all) {
    if (movedTo !== undefined || service.companionOf(node) !== undefined) continue;
    const config = { ...service.defaults(node), ...differences };
    if (!isWanted(config.type)) continue;
    if (isOwn || mayKnow(config, rows.get(node), contact)) {
      items.push({ jid, node, ...(config.title !== '' && { name: config.title }) });
    }
  }
  return items.sort((one, other) => (one.node! < other.node! ? -1 : 1));
}

function mayKnow(
  { accessModel, rosterGroups }: NodeConfig,
  row: EntityRow | undefined,
  contact: Contact | undefined,
): boolean {
  const { affiliation = 'none' } = row ?? {};
  if (affiliation === 'outcast') return false;
  if (affiliation !== 'none') return true;
  switch (accessModel) {
    case 'open':
    case 'authorize':
      return true;
    case 'presence':
      return contact?.isFrom === true;
    case 'roster':
      return contact?.isFrom === true && contact.groups.some((group) => rosterGroups.includes(group));
    case 'whitelist':
      return false;
  }
}
