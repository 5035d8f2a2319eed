// What people tell their contacts of themselves, beside pictures and profiles: where they are (XEP-0080), how they feel (XEP-0107), what they do
// (XEP-0108), what they listen to (XEP-0118), what they like to be called (XEP-0172). One item at a node for contacts, which the next one replaces.
//
// - 0080 11, 0107 5, 0108 7, 0118 6: who may know is for the account to say; contacts, unless it does.
// - 0172 4.1, 4.2: nicknames in requests for presence, in messages and on the way into rooms pass through.
import { defineModule, on } from '../core/module.ts';
import { NS } from '../xmpp/ns.ts';
import { pep } from './pep/service.ts';
import { nodeDefaults } from './pubsub/hooks.ts';

const names: ReadonlySet<string> = new Set([NS.geoloc, NS.mood, NS.activity, NS.tune, NS.nick]);

export default defineModule({
  xeps: ['XEP-0080 1.10.0', 'XEP-0107 1.2.2', 'XEP-0108 1.3', 'XEP-0118 1.3.0', 'XEP-0172 1.1'],
  summary: 'Places, moods, activities, tunes and nicknames of people, for their contacts',
  needs: [pep],
  setup: () => ({
    handlers: [
      on(nodeDefaults, (event) => {
        if (!names.has(event.name)) return;
        event.config = { ...event.config, accessModel: 'presence', maxItems: 1, sendLast: 'on_sub_and_presence' };
      }),
    ],
  }),
});
