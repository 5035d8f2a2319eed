// The nodes of an account that is not there, and will never have anything: asked, they answer as those of an account without nodes.
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { ServicePorts } from '../pubsub/ports.ts';
import { Shelf } from '../pubsub/shelf.ts';

/** @param ports as of an account that is there */
export function emptyShelf(jid: Jid, ports: ServicePorts): Shelf {
  return new Shelf(jid, {
    ...ports,
    policy: { ...ports.policy, standing: () => undefined, mayCreate: () => false },
    rows: {
      node: () => undefined,
      saveNode: nothing,
      entities: nothing,
      saveEntities: nothing,
      clearEntities: nothing,
      items: {
        put: nothing,
        get: nothing,
        page: nothing,
        newest: nothing,
        usage: nothing,
        remove: nothing,
        clear: nothing,
        trim: nothing,
        expire: nothing,
      },
    },
    tell: () => {},
    listeners: () => [],
    background: () => {},
  });
}

const nothing = async (): Promise<never> => {
  throw new StanzaError('item-not-found');
};
