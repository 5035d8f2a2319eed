import { describe, expect, it } from 'vitest';
import { type Element, el } from '../../../src/xml/element.ts';
import {
  caps2Hash,
  caps2Input,
  caps2Node,
  capsInput,
  capsVer,
  parseCaps2Node,
  verifyCaps,
} from '../../../src/xmpp/caps.ts';
import { NS } from '../../../src/xmpp/ns.ts';

const identity = (attrs: Record<string, string>): Element => el('identity', NS.discoInfo, attrs);
const feature = (name: string): Element => el('feature', NS.discoInfo, { var: name });
const query = (...children: Element[]): Element => el('query', NS.discoInfo, {}, ...children);
const field = (name: string, values: readonly string[], type?: string): Element =>
  el('field', NS.dataForms, { var: name, type }, ...values.map((value) => el('value', NS.dataForms, {}, value)));
const form = (...fields: Element[]): Element => el('x', NS.dataForms, { type: 'result' }, ...fields);
const softwareInfo = field('FORM_TYPE', ['urn:xmpp:dataforms:softwareinfo'], 'hidden');
const client = identity({ category: 'client', type: 'pc' });

describe('XEP-0115', () => {
  const simple = query(
    identity({ category: 'client', type: 'pc', name: 'Exodus 0.9.1' }),
    ...['disco#info', 'disco#items', 'muc', 'caps'].map((name) => feature(`http://jabber.org/protocol/${name}`)),
  );
  const complex = query(
    identity({ 'xml:lang': 'en', category: 'client', name: 'Psi 0.11', type: 'pc' }),
    identity({ 'xml:lang': 'el', category: 'client', name: '\u03A8 0.11', type: 'pc' }),
    ...['caps', 'disco#info', 'disco#items', 'muc'].map((name) => feature(`http://jabber.org/protocol/${name}`)),
    form(
      softwareInfo,
      field('ip_version', ['ipv6', 'ipv4'], 'text-multi'),
      field('os', ['Mac']),
      field('os_version', ['10.5.1']),
      field('software', ['Psi']),
      field('software_version', ['0.11']),
    ),
  );

  it('hashes the simple example (5.2)', () => {
    expect(capsInput(simple)).toBe(
      'client/pc//Exodus 0.9.1<http://jabber.org/protocol/caps<http://jabber.org/protocol/disco#info<' +
        'http://jabber.org/protocol/disco#items<http://jabber.org/protocol/muc<',
    );
    expect(capsVer(simple)).toBe('QgayPKawpkPSDYmwT/WM94uAlu0=');
  });

  it('hashes the complex example (5.3)', () => {
    expect(capsVer(complex)).toBe('q07IKJEyjvHSyhy//CH0CxmKi8w=');
  });

  it('tells valid from invalid, and both from a hash function it does not know (5.4)', () => {
    expect(verifyCaps(simple, 'sha-1', 'QgayPKawpkPSDYmwT/WM94uAlu0=')).toBe('valid');
    expect(verifyCaps(complex, 'sha-1', 'QgayPKawpkPSDYmwT/WM94uAlu0=')).toBe('invalid');
    expect(verifyCaps(simple, 'md6', 'QgayPKawpkPSDYmwT/WM94uAlu0=')).toBe('unsupported');
    expect(verifyCaps(simple, 'toString', 'QgayPKawpkPSDYmwT/WM94uAlu0=')).toBe('unsupported');
    expect(verifyCaps(simple, 'sha-256', capsVer(simple, 'sha-256')!)).toBe('valid');
  });

  it.each([
    ['the same identity twice', query(client, client)],
    ['the same feature twice', query(client, feature('a'), feature('b'), feature('a'))],
    ['two forms of one context', query(client, form(softwareInfo), form(softwareInfo))],
    ['two contexts in a form', query(client, form(field('FORM_TYPE', ['a', 'b'], 'hidden')))],
    ['an identity without a type', query(identity({ category: 'client' }))],
    ['an identity without a category', query(identity({ type: 'pc' }))],
    ['a feature without a name', query(client, el('feature', NS.discoInfo))],
  ])('calls an answer ill-formed that has %s (5.4)', (_, answer) => {
    expect(capsInput(answer)).toBeUndefined();
    expect(capsVer(answer)).toBeUndefined();
    expect(verifyCaps(answer, 'sha-1', '')).toBe('invalid');
  });

  it('passes over forms without a hidden context (5.4)', () => {
    const plain = capsInput(query(client, feature('a')));
    expect(capsInput(query(client, feature('a'), form(field('os', ['Mac']))))).toBe(plain);
    expect(capsInput(query(client, feature('a'), form(field('FORM_TYPE', ['urn:x']), field('os', ['Mac']))))).toBe(
      plain,
    );
  });

  it('accepts identities that differ in their language, and a context that is said twice', () => {
    const answer = query(
      identity({ category: 'client', type: 'pc', 'xml:lang': 'en' }),
      client,
      form(field('FORM_TYPE', ['urn:x', 'urn:x'], 'hidden')),
    );
    expect(capsInput(answer)).toBe('client/pc//<client/pc/en/<urn:x<');
  });

  it('takes no separator from what others wrote (5.1)', () => {
    const name = 'SomeClient<http://jabber.org/protocol/muc';
    const forged = query(identity({ category: 'client', type: 'pc', name }));
    const real = query(identity({ category: 'client', type: 'pc', name: 'SomeClient' }), feature(name.slice(11)));
    expect(capsInput(forged)).toBe('client/pc//SomeClient&lt;http://jabber.org/protocol/muc<');
    expect(capsVer(forged)).not.toBe(capsVer(real));
  });

  it('sorts by octets, not by UTF-16 code units', () => {
    expect(capsInput(query(client, feature('\u{1F600}'), feature('\uFF21')))).toBe('client/pc//<\uFF21<\u{1F600}<');
  });

  it('sorts identities by category, then type, then language', () => {
    const answer = query(
      identity({ category: 'client-x', type: 'a' }),
      identity({ category: 'client', type: 'pc', name: 'Z' }),
      identity({ category: 'client', type: 'bot', 'xml:lang': 'de' }),
    );
    expect(capsInput(answer)).toBe('client/bot/de/<client/pc//Z<client-x/a//<');
  });

  it('leaves the answer as it was', () => {
    const before = complex.toXml();
    capsVer(complex);
    caps2Input(complex);
    expect(complex.toXml()).toBe(before);
  });
});

describe('XEP-0390', () => {
  const simple = query(
    identity({ category: 'client', name: 'BombusMod', type: 'mobile' }),
    ...[
      'http://jabber.org/protocol/si',
      'http://jabber.org/protocol/bytestreams',
      'http://jabber.org/protocol/chatstates',
      'http://jabber.org/protocol/disco#info',
      'http://jabber.org/protocol/disco#items',
      'urn:xmpp:ping',
      'jabber:iq:time',
      'jabber:iq:privacy',
      'jabber:iq:version',
      'http://jabber.org/protocol/rosterx',
      'urn:xmpp:time',
      'jabber:x:oob',
      'http://jabber.org/protocol/ibb',
      'http://jabber.org/protocol/si/profile/file-transfer',
      'urn:xmpp:receipts',
      'jabber:iq:roster',
      'jabber:iq:last',
    ].map(feature),
  );
  const complex = query(
    identity({ category: 'client', name: 'Tkabber', type: 'pc', 'xml:lang': 'en' }),
    identity({ category: 'client', name: 'Ткаббер', type: 'pc', 'xml:lang': 'ru' }),
    ...[
      'jabber:iq:time',
      'http://jabber.org/protocol/activity+notify',
      'http://jabber.org/protocol/geoloc+notify',
      'http://jabber.org/protocol/activity',
      'urn:xmpp:ping',
      'jabber:iq:inband',
      'http://jabber.org/protocol/commands',
      'http://jabber.org/protocol/feature-neg',
      'http://jabber.org/protocol/si',
      'urn:xmpp:receipts',
      'jabber:iq:filexfer',
      'http://www.facebook.com/xmpp/messages',
      'urn:xmpp:avatar:metadata+notify',
      'http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify',
      'jabber:iq:version',
      'jabber:iq:browse',
      'http://jabber.org/protocol/geoloc',
      'http://jabber.org/protocol/bytestreams',
      'http://jabber.org/protocol/si/profile/file-transfer',
      'jabber:x:oob',
      'urn:xmpp:time',
      'http://jabber.org/protocol/mood',
      'jabber:iq:avatar',
      'jabber:iq:last',
      'http://jabber.org/protocol/tune',
      'jabber:iq:roster',
      'http://jabber.org/protocol/ibb',
      'jabber:iq:ibb',
      'jabber:x:data',
      'games:board',
      'http://jabber.org/protocol/mood+notify',
      'http://jabber.org/protocol/disco#info',
      'http://jabber.org/protocol/iqibb',
      'jabber:iq:dtcp',
      'jabber:iq:oob',
      'jabber:iq:jidlink',
      'jabber:iq:privacy',
      'http://jabber.org/protocol/disco#items',
      'http://jabber.org/protocol/rosterx',
      'http://jabber.org/protocol/chatstates',
      'jabber:x:event',
      'http://jabber.org/protocol/evil',
    ].map(feature),
    form(
      softwareInfo,
      field('software', ['Tkabber']),
      field('software_version', ['0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)']),
      field('os', ['Windows']),
      field('os_version', ['XP']),
    ),
  );

  it('hashes the simple example (4.5.1)', () => {
    const input = caps2Input(simple)!.toString();
    expect(
      input.startsWith('http://jabber.org/protocol/bytestreams\x1Fhttp://jabber.org/protocol/chatstates\x1F'),
    ).toBe(true);
    expect(input.endsWith('urn:xmpp:time\x1F\x1Cclient\x1Fmobile\x1F\x1FBombusMod\x1F\x1E\x1C\x1C')).toBe(true);
    expect(caps2Hash(simple, 'sha-256')).toBe('kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=');
    expect(caps2Hash(simple, 'sha3-256')).toBe('79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=');
  });

  it('hashes the complex example (4.5.2)', () => {
    expect(caps2Input(complex)).toHaveLength(0x543);
    expect(caps2Hash(complex, 'sha-256')).toBe('u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=');
    expect(caps2Hash(complex, 'sha3-256')).toBe('XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=');
  });

  it('takes the language from around an identity that has none of its own (4.1)', () => {
    const spoken = el('query', NS.discoInfo, { 'xml:lang': 'de' }, client);
    expect(caps2Input(spoken)?.toString()).toBe('\x1Cclient\x1Fpc\x1Fde\x1F\x1F\x1E\x1C\x1C');
    expect(caps2Input(query(client), 'de')).toEqual(caps2Input(spoken));
    expect(caps2Input(spoken, 'fr')).toEqual(caps2Input(spoken));
  });

  it.each([
    ['an element of another kind', query(client, el('feature', 'urn:x', { var: 'a' }))],
    ['a table', query(client, form(softwareInfo, el('reported', NS.dataForms)))],
    ['items', query(client, form(softwareInfo, el('item', NS.dataForms)))],
    ['a form without context', query(client, form(field('os', ['Mac'])))],
    ['a form whose context is not hidden', query(client, form(field('FORM_TYPE', ['urn:x'])))],
    ['a submission', query(client, el('x', NS.dataForms, { type: 'submit' }, field('FORM_TYPE', ['urn:x'])))],
  ])('has no hash for an answer with %s (4.1)', (_, answer) => {
    expect(caps2Input(answer)).toBeUndefined();
    expect(caps2Hash(answer, 'sha-256')).toBeUndefined();
  });

  it('does not know every hash function', () => {
    expect(caps2Hash(simple, 'md6')).toBeUndefined();
  });

  it('names a node for a hash, and the hash of a node (4.3)', () => {
    const node = 'urn:xmpp:caps#sha-256.u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=';
    const value = 'u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=';
    expect(caps2Node('sha-256', value)).toBe(node);
    expect(parseCaps2Node(node)).toEqual({ algorithm: 'sha-256', value });
    expect(parseCaps2Node('urn:xmpp:caps#a.b.c')).toEqual({ algorithm: 'a.b', value: 'c' });
  });

  it.each(['', 'urn:xmpp:caps', 'urn:xmpp:caps#', 'urn:xmpp:caps#.x', 'urn:xmpp:caps#sha-256.', 'http://x#sha-256.x'])(
    'finds no hash in the node %j',
    (node) => {
      expect(parseCaps2Node(node)).toBeUndefined();
    },
  );
});
