import { expect, test } from 'vitest';
import { contactForm } from '../../../src/modules/contact-info.ts';
import { NS } from '../../../src/xmpp/ns.ts';

test('the form lists the addresses for each role that has some (XEP-0157 2)', () => {
  const form = contactForm({
    support: ['xmpp:help@example.org'],
    admin: [],
    abuse: ['mailto:a@example.org', 'xmpp:a@b'],
  });
  expect(form?.toXml(NS.dataForms)).toBe(
    "<x type='result'>" +
      "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>" +
      "<field var='abuse-addresses' type='list-multi'><value>mailto:a@example.org</value><value>xmpp:a@b</value></field>" +
      "<field var='support-addresses' type='list-multi'><value>xmpp:help@example.org</value></field>" +
      '</x>',
  );
});

test('there is no form without addresses', () => {
  expect(contactForm({ admin: [], abuse: [] })).toBeUndefined();
});
