// XEP-0157: Contact Addresses for XMPP Services, from the setting `contacts`; and RFC 9116, the same for those who have found a hole.
import { defineModule } from '../core/module.ts';
import type { WebReply } from '../core/web.ts';
import type { Element } from '../xml/element.ts';
import { infoForm } from '../xmpp/info-form.ts';
import { NS } from '../xmpp/ns.ts';

/** How long what is told to finders of holes holds, in milliseconds (RFC 9116 2.5.5: less than a year). */
const VALID = 30 * 86_400_000;

export default defineModule({
  xeps: ['XEP-0157 1.1.1', 'XEP-0128 1.0.1'],
  summary: 'Tells whom to write to about abuse, problems or questions',
  hosts: ['users', 'rooms', 'pubsub', 'upload', 'proxy'],

  setup({ host, clock }) {
    const { contacts } = host.settings;
    const form = contactForm(contacts);
    const security = contacts.security.length > 0 ? contacts.security : contacts.admin;

    /** RFC 9116 2 */
    function securityText(): WebReply | undefined {
      if (security.length === 0) return undefined;
      const expires = new Date(clock.now() + VALID).toISOString();
      const lines = [...security.map((address) => `Contact: ${address}`), `Expires: ${expires}`, ''];
      return { status: 200, type: 'text/plain; charset=utf-8', body: lines.join('\n') };
    }

    return {
      ...(form === undefined ? {} : { info: [form] }),
      routes:
        host.kind === 'users' ? [{ methods: ['GET'], path: '/.well-known/security.txt', handle: securityText }] : [],
    };
  },
});

/** The extended disco#info form; undefined when there is nobody to write to. */
export function contactForm(contacts: Readonly<Record<string, readonly string[]>>): Element | undefined {
  const fields = Object.entries(contacts)
    .filter(([, addresses]) => addresses.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([role, addresses]) => [`${role}-addresses`, 'list-multi', addresses] as const);
  return fields.length === 0 ? undefined : infoForm(NS.serverInfo, fields);
}
