import { describe, expect, it } from 'vitest';
import { type Affiliation, affiliations, type Role, roles } from '../../../../src/modules/muc/config.ts';
import {
  checkAffiliationChange,
  checkAffiliationList,
  checkOwners,
  checkRoleChange,
  checkRoleList,
  type Standing,
} from '../../../../src/modules/muc/privileges.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';

const outcome = (work: () => void): string => {
  try {
    work();
    return 'ok';
  } catch (error) {
    if (error instanceof StanzaError) return error.condition;
    throw error;
  }
};
const standing = (text: string): Standing => {
  const [affiliation, role] = text.split(' ') as [Affiliation, Role];
  return { affiliation, role };
};

describe('roles (XEP-0045 5.1.3, 8.2-8.5, 9.6-9.8)', () => {
  it.each([
    // who, whom, to what, what comes of it
    ['none participant', 'none visitor', 'participant', 'forbidden'],
    ['none visitor', 'none visitor', 'none', 'forbidden'],
    ['none none', 'none visitor', 'none', 'forbidden'],
    ['member participant', 'none participant', 'none', 'forbidden'],
    // 8.2
    ['none moderator', 'none participant', 'none', 'ok'],
    ['none moderator', 'member participant', 'none', 'not-allowed'],
    ['member moderator', 'admin moderator', 'none', 'not-allowed'],
    ['member moderator', 'owner moderator', 'none', 'not-allowed'],
    ['admin moderator', 'owner moderator', 'none', 'not-allowed'],
    ['none moderator', 'none moderator', 'none', 'not-allowed'],
    ['admin moderator', 'none moderator', 'none', 'ok'],
    ['admin moderator', 'admin moderator', 'none', 'ok'],
    ['owner moderator', 'admin moderator', 'none', 'ok'],
    // 8.3, 8.4
    ['none moderator', 'none visitor', 'participant', 'ok'],
    ['none moderator', 'none participant', 'visitor', 'ok'],
    ['none moderator', 'member participant', 'visitor', 'not-allowed'],
    ['member moderator', 'member participant', 'visitor', 'not-allowed'],
    ['admin moderator', 'member participant', 'visitor', 'ok'],
    ['none moderator', 'owner moderator', 'visitor', 'not-allowed'],
    ['owner moderator', 'admin moderator', 'visitor', 'not-allowed'],
    ['owner moderator', 'owner moderator', 'visitor', 'not-allowed'],
    ['none moderator', 'none moderator', 'visitor', 'forbidden'],
    // 9.6
    ['none moderator', 'none participant', 'moderator', 'forbidden'],
    ['member moderator', 'none participant', 'moderator', 'forbidden'],
    ['admin moderator', 'none participant', 'moderator', 'ok'],
    ['none moderator', 'none moderator', 'moderator', 'ok'],
    // 9.7
    ['none moderator', 'none moderator', 'participant', 'forbidden'],
    ['none moderator', 'owner moderator', 'participant', 'not-allowed'],
    ['none moderator', 'admin moderator', 'participant', 'not-allowed'],
    ['admin moderator', 'none moderator', 'participant', 'ok'],
    ['admin moderator', 'admin moderator', 'participant', 'not-allowed'],
    ['admin moderator', 'owner moderator', 'participant', 'not-allowed'],
    ['owner moderator', 'admin moderator', 'participant', 'not-allowed'],
  ] as const)('%s makes %s a %s: %s', (actor, target, role, expected) => {
    expect(outcome(() => checkRoleChange(standing(actor), standing(target), role))).toBe(expected);
  });

  it('never lets anybody take voice or moderation from an owner', () => {
    for (const affiliation of affiliations) {
      for (const role of roles) {
        for (const to of ['visitor', 'participant'] as const) {
          const owner = standing('owner moderator');
          expect(outcome(() => checkRoleChange({ affiliation, role }, owner, to))).not.toBe('ok');
        }
      }
    }
  });
});

describe('affiliations (XEP-0045 5.2.2)', () => {
  const change = (actor: Affiliation, from: Affiliation, to: Affiliation, isSelf = false, invites = false) =>
    outcome(() => checkAffiliationChange(actor, { from, to, isSelf }, invites));

  it('are changed by admins among those below them, and by owners', () => {
    const table: string[] = [];
    for (const actor of affiliations) {
      for (const from of affiliations) {
        for (const to of affiliations) {
          if (from !== to && change(actor, from, to) === 'ok') table.push(`${actor}: ${from} ${to}`);
        }
      }
    }
    const below = ['outcast', 'none', 'member'] as const;
    const byAdmin = below.flatMap((from) => below.filter((to) => to !== from).map((to) => `admin: ${from} ${to}`));
    const byOwner = affiliations.flatMap((from) =>
      affiliations.filter((to) => to !== from).map((to) => `owner: ${from} ${to}`),
    );
    expect(table.sort()).toEqual([...byAdmin, ...byOwner].sort());
  });

  it('are refused with the conditions of 9 and 10', () => {
    expect(change('member', 'none', 'outcast')).toBe('forbidden');
    expect(change('admin', 'owner', 'outcast')).toBe('not-allowed');
    expect(change('admin', 'admin', 'outcast')).toBe('not-allowed');
    expect(change('admin', 'admin', 'outcast', true)).toBe('conflict');
    expect(change('owner', 'owner', 'outcast', true)).toBe('conflict');
    expect(change('admin', 'none', 'admin')).toBe('forbidden');
    expect(change('admin', 'admin', 'none')).toBe('forbidden');
    expect(change('admin', 'owner', 'member')).toBe('forbidden');
    expect(outcome(() => checkOwners(0))).toBe('conflict');
    expect(outcome(() => checkOwners(1))).toBe('ok');
  });

  it('let members make members where members may invite', () => {
    expect(change('member', 'none', 'member')).toBe('forbidden');
    expect(change('member', 'none', 'member', false, true)).toBe('ok');
    expect(change('member', 'outcast', 'member', false, true)).toBe('forbidden');
    expect(change('member', 'admin', 'member', false, true)).toBe('forbidden');
    expect(change('member', 'member', 'none', false, true)).toBe('forbidden');
    expect(change('none', 'none', 'member', false, true)).toBe('forbidden');
  });
});

describe('lists', () => {
  const list = (reader: string, where: string, of: Affiliation) => {
    const whois = where.startsWith('non-anonymous') ? 'anyone' : 'moderators';
    return outcome(() =>
      checkAffiliationList({ ...standing(reader), whois, isMembersOnly: where.endsWith('members-only') }, of),
    );
  };

  it.each([
    ['owner none', 'semi-anonymous', 'owner admin member outcast'],
    ['admin moderator', 'semi-anonymous', 'member outcast'],
    ['admin moderator', 'non-anonymous', 'owner admin member outcast'],
    ['admin none', 'semi-anonymous members-only', 'owner admin member outcast'],
    ['member participant', 'semi-anonymous', ''],
    ['member participant', 'non-anonymous', 'owner admin member'],
    ['member none', 'non-anonymous', 'owner admin member'],
    ['member none', 'semi-anonymous members-only', 'owner admin member'],
    ['member visitor', 'non-anonymous members-only', 'owner admin member'],
    ['none participant', 'non-anonymous', 'owner admin member'],
    ['none moderator', 'semi-anonymous', ''],
    ['none participant', 'semi-anonymous members-only', ''],
    ['none none', 'non-anonymous', ''],
    ['none none', 'non-anonymous members-only', ''],
    ['outcast none', 'non-anonymous', ''],
    ['outcast none', 'semi-anonymous members-only', ''],
  ] as const)('%s, in a %s room, reads %s', (reader, where, readable) => {
    const all = ['owner', 'admin', 'member', 'outcast'] as const;
    expect(all.filter((one) => list(reader, where, one) === 'ok').join(' ')).toBe(readable);
    expect(all.every((one) => ['ok', 'forbidden'].includes(list(reader, where, one)))).toBe(true);
  });

  it('of roles are for moderators, that of moderators for admins', () => {
    const of = (reader: string, role: Role) => outcome(() => checkRoleList(standing(reader), role));
    expect(of('none moderator', 'participant')).toBe('ok');
    expect(of('none moderator', 'visitor')).toBe('ok');
    expect(of('none moderator', 'moderator')).toBe('forbidden');
    expect(of('admin moderator', 'moderator')).toBe('ok');
    expect(of('member participant', 'participant')).toBe('forbidden');
  });
});
