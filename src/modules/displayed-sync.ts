// XEP-0490: Message Displayed Synchronization, with server assist: how far an account has read each conversation is at a node of its own, an item for
// each. A client that tells the other side by a marker may have it kept by the same message.
//
// - 5.2: ids are not looked at; but what names no message, or several (3.1), is only taken out.
// - 3.4, a message that is empty without it: goes its way all the same (9.2).
import { messageOut } from '../core/events.ts';
import { defineModule, on } from '../core/module.ts';
import type { Transit } from '../core/transit.ts';
import type { Element } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { type Message, replaceElement } from '../xmpp/stanza.ts';
import { privateNode } from './pep/private-node.ts';
import { pep } from './pep/service.ts';

export default defineModule({
  xeps: ['XEP-0490 1.0.1'],
  summary: 'Tells the devices of an account how far each conversation was read on others',
  needs: [pep],

  setup({ use, log }) {
    const nodes = use(pep);

    /** 3.4; 5.2: before anything keeps or copies the message. */
    function assist(transit: Transit<Message>): void {
      const { stanza, origin } = transit;
      const displayed = stanza.el.getChild('displayed', NS.displayedSync);
      if (displayed === undefined) return;
      transit.stanza = replaceElement(stanza, stanza.el.without(isDisplayed));
      // a component may speak for an account, but not publish for it
      if (origin.kind !== 'client' || displayed.getChildren('stanza-id', NS.stanzaIds).length !== 1) return;
      const user = stanza.from.local;
      const published = nodes.publish(user, NS.displayedSync, displayed, { id: stanza.to.full });
      const done = published.catch((error: unknown) => {
        // the message itself has been on its way for long
        if (!(error instanceof StanzaError)) throw error;
        log.info({ user, reason: error.text ?? error.condition }, 'how far somebody has read was not kept');
      });
      transit.settle(done);
    }

    return {
      features: { account: [NS.displayedAssist] },
      handlers: [
        ...privateNode(NS.displayedSync, { maxItems: 'max', sendLast: 'never' }),
        on(messageOut, { phase: 'archive', before: ['mam'] }, assist),
      ],
    };
  },
});

const isDisplayed = (child: Element): boolean => child.is('displayed', NS.displayedSync);
