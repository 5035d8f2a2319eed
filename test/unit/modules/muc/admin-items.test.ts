import { describe, expect, it } from 'vitest';
import {
  affiliationItem,
  readChanges,
  readListRequest,
  readNick,
  roleItem,
} from '../../../../src/modules/muc/admin-items.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { Element } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { type BareJid, Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const query = (items: string, ns: string = NS.mucAdmin): Element =>
  parseElement(`<query xmlns='${ns}'>${items}</query>`);
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof StanzaError) return error.condition;
    throw error;
  }
  return 'ok';
};

describe('a request for a list', () => {
  it('is of an affiliation or of a role', () => {
    expect(readListRequest(query(`<item affiliation='owner'/>`))).toEqual({
      kind: 'affiliation',
      affiliation: 'owner',
    });
    expect(readListRequest(query(`<item role='participant'/>`))).toEqual({ kind: 'role', role: 'participant' });
  });

  it('may have its item in the namespace of muc#user, and come to muc#owner', () => {
    const item = `<item xmlns='${NS.mucUser}' affiliation='member'/>`;
    expect(readListRequest(query(item))).toEqual({ kind: 'affiliation', affiliation: 'member' });
    const old = query(`<item affiliation='admin'/>`, NS.mucOwner);
    expect(readListRequest(old)).toEqual({ kind: 'affiliation', affiliation: 'admin' });
  });

  it.each([
    '',
    '<item/>',
    `<item affiliation='owner' role='moderator'/>`,
    `<item affiliation='friend'/>`,
    `<item role='speaker'/>`,
    `<item affiliation='owner'/><item affiliation='admin'/>`,
    `<thing affiliation='owner'/>`,
  ])('is refused: %s', (items) => {
    expect(refusal(() => readListRequest(query(items)))).toBe('bad-request');
  });
});

describe('changes', () => {
  it('are read in their order, with reasons and nicks', () => {
    const items = `<item affiliation='outcast' jid='Lord@Shakespeare.LIT/tower'><reason>Treason</reason></item>
      <item role='none' nick='pistol'/>
      <item xmlns='${NS.mucUser}' affiliation='member' jid='hag@shakespeare.lit' nick='third witch'><reason/></item>
      <item affiliation='none' nick='hecate'/>
      <item affiliation='member' jid='hag@shakespeare.lit' nick=''/>
      <item role='visitor' jid='hag@shakespeare.lit/pda'/>`;
    expect(readChanges(query(items))).toEqual([
      {
        kind: 'affiliation',
        affiliation: 'outcast',
        jid: Jid.parse('lord@shakespeare.lit'),
        nick: undefined,
        reason: 'Treason',
      },
      { kind: 'role', role: 'none', nick: 'pistol', jid: undefined, reason: undefined },
      {
        kind: 'affiliation',
        affiliation: 'member',
        jid: Jid.parse('hag@shakespeare.lit'),
        nick: 'third witch',
        reason: undefined,
      },
      { kind: 'affiliation', affiliation: 'none', jid: undefined, nick: 'hecate', reason: undefined },
      {
        kind: 'affiliation',
        affiliation: 'member',
        jid: Jid.parse('hag@shakespeare.lit'),
        nick: '',
        reason: undefined,
      },
      { kind: 'role', role: 'visitor', nick: undefined, jid: Jid.parse('hag@shakespeare.lit/pda'), reason: undefined },
    ]);
  });

  it.each([
    ['', 'bad-request'],
    [`<item role='none'/>`, 'bad-request'],
    [`<item affiliation='member'/>`, 'bad-request'],
    [`<item affiliation='member' nick=''/>`, 'bad-request'],
    [`<item nick='pistol'/>`, 'bad-request'],
    [`<item affiliation='admin' role='moderator' nick='pistol' jid='a@b.c'/>`, 'bad-request'],
    [`<item affiliation='king' jid='a@b.c'/>`, 'bad-request'],
    [`<item affiliation='member' jid='@'/>`, 'jid-malformed'],
    [`<item role='none' nick='  '/>`, 'jid-malformed'],
    [`<item role='none' nick='pistol'/><item role='king' nick='pistol'/>`, 'bad-request'],
  ])('are refused as a whole: %s (%s)', (items, condition) => {
    expect(refusal(() => readChanges(query(items)))).toBe(condition);
  });
});

describe('a nick', () => {
  it('is prepared, and not invisible', () => {
    expect(readNick('Al\u00a0Ice')).toBe('Al Ice');
    for (const text of ['', ' ', '   ', '\u2003', 'a\u0007'])
      expect(refusal(() => readNick(text))).toBe('jid-malformed');
  });
});

describe('lines of a list', () => {
  it('name people by bare addresses, and occupants by full ones', () => {
    const jid = 'hag@shakespeare.lit' as BareJid;
    expect(affiliationItem(NS.mucAdmin, jid, 'member', { nick: 'witch' }).toXml()).toBe(
      `<item xmlns='${NS.mucAdmin}' affiliation='member' jid='hag@shakespeare.lit' nick='witch'/>`,
    );
    expect(affiliationItem(NS.mucAdmin, jid, 'outcast', { nick: 'witch', reason: 'Treason' }).toXml()).toBe(
      `<item xmlns='${NS.mucAdmin}' affiliation='outcast' jid='hag@shakespeare.lit'><reason>Treason</reason></item>`,
    );
    expect(roleItem(NS.mucAdmin, 'witch', 'visitor', 'none', Jid.parse('hag@shakespeare.lit/pda')!).toXml()).toBe(
      `<item xmlns='${NS.mucAdmin}' affiliation='none' jid='hag@shakespeare.lit/pda' nick='witch' role='visitor'/>`,
    );
  });
});
