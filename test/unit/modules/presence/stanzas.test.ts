import { describe, expect, test } from 'vitest';
import { parsePriority, presenceOf, sentTo } from '../../../../src/modules/presence/stanzas.ts';
import { el } from '../../../../src/xml/element.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';

const withPriority = (text: string) => el('presence', null, undefined, el('priority', null, undefined, text));

describe('the priority of a presence (RFC 6121 4.7.2.3)', () => {
  test.each([
    ['-128', -128],
    ['127', 127],
    ['0', 0],
    ['+5', 5],
    [' 1 ', 1],
  ])('"%s" is %d', (text, value) => {
    expect(parsePriority(withPriority(text))).toBe(value);
  });

  test('is 0 when nothing is said', () => {
    expect(parsePriority(el('presence', null))).toBe(0);
  });

  test.each(['-129', '128', '1.5', 'high', '', '1e2', '99999'])('"%s" is refused', (text) => {
    expect(() => parsePriority(withPriority(text))).toThrow('bad-request');
  });
});

test('presence for many is serialised once', () => {
  const [from, a, b] = [Jid.parse('r@x/1')!, Jid.parse('a@x')!, Jid.parse('b@x')!];
  const base = presenceOf('available', from, from.withResource(''));
  const full = { ...base, el: base.el.append(el('show', null, undefined, 'away')) };
  expect(sentTo(full, a).el.children).toBe(sentTo(full, b).el.children);
  expect(sentTo(full, b).el.toXml()).toBe("<presence from='r@x/1' to='b@x'><show>away</show></presence>");
});

test('only available presence has no type', () => {
  const jid = Jid.parse('r@x/1')!;
  expect(presenceOf('available', jid, jid).el.attrs.type).toBeUndefined();
  expect(presenceOf('probe', jid, jid).el.attrs.type).toBe('probe');
});
