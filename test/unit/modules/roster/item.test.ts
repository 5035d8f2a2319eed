import { describe, expect, test } from 'vitest';
import {
  isTombstone,
  isVisible,
  itemElement,
  parseRosterSet,
  type RosterItem,
  subscriptionOf,
  tombstone,
  withSubscription,
} from '../../../../src/modules/roster/item.ts';
import { noSubscription } from '../../../../src/modules/roster/subscription.ts';
import { el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const own = 'juliet@example.com' as BareJid;
const limits = { maxName: 1023, maxGroups: 3 };
const groupOf = (name: string) => (name === '' ? el('group', NS.roster) : el('group', NS.roster, undefined, name));
const setOf = (attrs: Record<string, string>, ...groups: string[]) =>
  el('query', NS.roster, undefined, el('item', NS.roster, attrs, ...groups.map(groupOf)));

function conditionOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof StanzaError) return error.condition;
    throw error;
  }
}

describe('a roster set', () => {
  test('names a contact, a handle and groups', () => {
    const query = setOf({ jid: 'Romeo@Example.NET/orchard', name: 'Romeo' }, 'Friends', 'Lovers');
    const request = parseRosterSet(query, own, limits);
    expect(request).toMatchObject({ kind: 'set', name: 'Romeo', groups: ['Friends', 'Lovers'] });
    expect(request.contact.full).toBe('romeo@example.net');
  });

  test('without a handle, or with an empty one, has none (RFC 6121 2.1.2.4)', () => {
    expect(parseRosterSet(setOf({ jid: 'a@b' }), own, limits)).toMatchObject({ name: undefined });
    expect(parseRosterSet(setOf({ jid: 'a@b', name: '' }), own, limits)).toMatchObject({ name: undefined });
  });

  test('removes, and ignores any other value of subscription (RFC 6121 2.1.2.5)', () => {
    expect(parseRosterSet(setOf({ jid: 'a@b', subscription: 'remove' }), own, limits).kind).toBe('remove');
    for (const subscription of ['none', 'both', 'to', 'foobar']) {
      expect(parseRosterSet(setOf({ jid: 'a@b', subscription }), own, limits).kind).toBe('set');
    }
  });

  const two = el(
    'query',
    NS.roster,
    undefined,
    el('item', NS.roster, { jid: 'a@b' }),
    el('item', NS.roster, { jid: 'c@d' }),
  );
  test.each([
    ['more than one item', two, 'bad-request'],
    ['no item', el('query', NS.roster), 'bad-request'],
    ['no jid', setOf({ name: 'x' }), 'bad-request'],
    ['a jid that is none', setOf({ jid: 'a@@b' }), 'jid-malformed'],
    ['a group twice', setOf({ jid: 'a@b' }, 'x', 'x'), 'bad-request'],
    ['an empty group', setOf({ jid: 'a@b' }, ''), 'not-acceptable'],
    ['a group that is too long', setOf({ jid: 'a@b' }, 'é'.repeat(512)), 'not-acceptable'],
    ['a name that is too long', setOf({ jid: 'a@b', name: 'x'.repeat(1024) }), 'not-acceptable'],
    ['too many groups', setOf({ jid: 'a@b' }, '1', '2', '3', '4'), 'not-acceptable'],
    ['the account itself', setOf({ jid: 'juliet@example.com/balcony' }), 'not-allowed'],
  ])('with %s is refused (RFC 6121 2.3.3)', (_what, query, condition) => {
    expect(conditionOf(() => parseRosterSet(query, own, limits))).toBe(condition);
  });

  test('takes names and groups up to the limit', () => {
    const query = setOf({ jid: 'a@b', name: 'x'.repeat(1023) }, 'y'.repeat(1023));
    expect(parseRosterSet(query, own, limits)).toMatchObject({ name: 'x'.repeat(1023) });
  });
});

describe('an item', () => {
  const item: RosterItem = { name: 'R & J', groups: ['a'], subscription: 'from', ask: true, approved: true, ver: 4 };

  test('shows what clients may see (RFC 6121 2.1.2)', () => {
    expect(itemElement('romeo@example.net', item).toXml(NS.roster)).toBe(
      "<item jid='romeo@example.net' name='R &amp; J' subscription='from' ask='subscribe' approved='true'><group>a</group></item>",
    );
    expect(itemElement('romeo@example.net', tombstone(3)).attrs.subscription).toBe('remove');
  });

  test('that is only a request is not in the roster, and leaves nothing behind (RFC 6121 A.1)', () => {
    const asked = withSubscription(undefined, { ...noSubscription, in: true }, '<presence/>', 7);
    expect(asked).toEqual({ groups: [], subscription: 'none', request: '<presence/>', hidden: true, ver: 0 });
    expect(isVisible(asked)).toBe(false);
    expect(withSubscription(asked, noSubscription, undefined, 8)).toBeUndefined();
  });

  test('that was removed keeps its version while a new request comes and goes', () => {
    const asked = withSubscription(tombstone(5), { ...noSubscription, in: true }, '<presence/>', 7);
    expect(asked).toMatchObject({ hidden: true, ver: 5, request: '<presence/>' });
    expect(isTombstone(asked!)).toBe(false);
    const denied = withSubscription(asked, noSubscription, undefined, 8);
    expect(denied).toEqual(tombstone(5));
    expect(isTombstone(denied!)).toBe(true);
  });

  test('gets a new version only when clients see a difference', () => {
    const state = subscriptionOf(item);
    expect(withSubscription(item, { ...state, in: true }, '<presence/>', 9)?.ver).toBe(4);
    expect(withSubscription(item, { ...state, to: true, out: false }, undefined, 9)).toEqual({
      name: 'R & J',
      groups: ['a'],
      subscription: 'both',
      approved: true,
      ver: 9,
    });
    expect(withSubscription(tombstone(5), { ...noSubscription, out: true }, undefined, 9)).toEqual({
      groups: [],
      subscription: 'none',
      ask: true,
      ver: 9,
    });
  });

  test('keeps the first of two requests (RFC 6121 3.1.3)', () => {
    const first = withSubscription(undefined, { ...noSubscription, in: true }, '<presence id="1"/>', 1);
    expect(withSubscription(first, { ...noSubscription, in: true }, '<presence id="2"/>', 2)?.request).toBe(
      '<presence id="1"/>',
    );
  });
});
