import { expect, test } from 'vitest';
import type { Instance } from '../../../../src/core/host.ts';
import type { Installed } from '../../../../src/core/module.ts';
import { contactForm } from '../../../../src/modules/contact-info.ts';
import { infoQuery, makeInfo } from '../../../../src/modules/disco/info.ts';
import { caps2Hash, capsVer } from '../../../../src/xmpp/caps.ts';
import { infoForm } from '../../../../src/xmpp/info-form.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const own = {
  server: { category: 'server', type: 'im', name: 'Parley' },
  account: { category: 'account', type: 'registered' },
};
const instanceOf = (installed: Installed): Instance => ({
  name: 'one',
  definition: { xeps: [], summary: '', setup: () => installed },
  installed,
  background: () => {},
  stop: async () => {},
});

test('everything that modules declare is told once, and in order', () => {
  const info = makeInfo(
    [
      instanceOf({ features: { server: ['z', 'a'], account: ['b'] } }),
      instanceOf({ features: { server: ['a'] }, identities: { account: [{ category: 'pubsub', type: 'pep' }] } }),
    ],
    own,
  );
  const vars = info.host.filter((one) => one.name === 'feature').map((one) => one.attrs.var);
  expect(vars).toEqual([NS.caps, NS.discoInfo, NS.discoItems, 'a', NS.caps2, 'z'].sort());
  expect(info.account.filter((one) => one.name === 'identity').map((one) => one.attrs.type)).toEqual([
    'registered',
    'pep',
  ]);
});

test('the nodes in the stream features are the hashes of the answer (XEP-0115 5.1, XEP-0390 4)', () => {
  const form = contactForm({ abuse: ['mailto:a@example.org'] })!;
  const info = makeInfo([instanceOf({ features: { server: ['x'] }, info: [form] })], own);
  const query = infoQuery(info.host, 'https://parley.im#whatever');
  const [caps, caps2] = info.features;
  expect(caps?.attrs).toMatchObject({ hash: 'sha-1', node: 'https://parley.im', ver: capsVer(query)! });
  // 4.1: the language of the stream must make no difference
  expect(caps2?.getChildText('hash', NS.hashes)).toBe(caps2Hash(query, 'sha-256', 'de'));
  expect([...info.nodes]).toEqual([
    `https://parley.im#${capsVer(query)}`,
    `urn:xmpp:caps#sha-256.${caps2Hash(query, 'sha-256')}`,
  ]);
});

test('what cannot be hashed is noticed when it is declared', () => {
  const vague = infoForm('urn:example:x', [['FORM_TYPE', 'hidden', ['urn:example:y']]]);
  expect(() => makeInfo([instanceOf({ info: [vague] })], own)).toThrow('hashed');
});

// XEP-0115 5.4: a form for each context
test('what modules tell in forms of one type is told in one form', () => {
  const one = contactForm({ abuse: ['mailto:a@example.org'] })!;
  const other = infoForm(NS.serverInfo, [
    ['serverinfo-pubsub-node', 'text-single', ['xmpp:pubsub.example.org?;node=x']],
  ]);
  const { host } = makeInfo([instanceOf({ info: [one] }), instanceOf({ info: [other] })], own);
  const forms = host.filter(({ name }) => name === 'x');
  expect(forms.map((form) => form.elements().map(({ attrs }) => attrs.var))).toEqual([
    ['FORM_TYPE', 'abuse-addresses', 'serverinfo-pubsub-node'],
  ]);
});
