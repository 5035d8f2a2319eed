// XEP-0157: Contact Addresses for XMPP Services, from the setting `contacts`.
import { defineModule } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';

export default defineModule({
  xeps: ['XEP-0157 1.1.1', 'XEP-0128 1.0.1'],
  summary: 'Tells whom to write to about abuse, problems or questions',
  hosts: ['users', 'rooms', 'pubsub', 'upload', 'proxy'],

  setup({ host }) {
    const form = contactForm(host.settings.contacts);
    return form === undefined ? {} : { info: [form] };
  },
});

/** The extended disco#info form; undefined when there is nobody to write to. */
export function contactForm(contacts: Readonly<Record<string, readonly string[]>>): Element | undefined {
  const fields = Object.entries(contacts)
    .filter(([, addresses]) => addresses.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([role, addresses]) => field(`${role}-addresses`, 'list-multi', addresses));
  if (fields.length === 0) return undefined;
  return el('x', NS.dataForms, { type: 'result' }, field('FORM_TYPE', 'hidden', [NS.serverInfo]), ...fields);
}

function field(name: string, type: string, values: readonly string[]): Element {
  const children = values.map((value) => el('value', NS.dataForms, undefined, value));
  return el('field', NS.dataForms, { var: name, type }, ...children);
}
