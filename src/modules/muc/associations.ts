// What comes with roles and affiliations (XEP-0045 5).
import {
  type Affiliation,
  affiliationRank,
  affiliations,
  type Role,
  type RoomConfig,
  roleRank,
  roles,
} from './config.ts';

export function isAffiliation(text: string | undefined): text is Affiliation {
  return (affiliations as readonly (string | undefined)[]).includes(text);
}

export function isRole(text: string | undefined): text is Role {
  return (roles as readonly (string | undefined)[]).includes(text);
}

/** Whether an affiliation is that high, or higher. */
export function isAtLeast(affiliation: Affiliation, wanted: Affiliation): boolean {
  return affiliationRank(affiliation) >= affiliationRank(wanted);
}

/** Whether a role is that high, or higher. */
export function mayAs(role: Role, wanted: Role): boolean {
  return roleRank(role) >= roleRank(wanted);
}

/** The role that somebody has on entering (5.1.2). */
export function initialRole(
  affiliation: Affiliation,
  { isModerated, membersListen }: Pick<RoomConfig, 'isModerated' | 'membersListen'>,
): Role {
  if (isAtLeast(affiliation, 'admin')) return 'moderator';
  if (affiliation === 'outcast') return 'none';
  return isModerated && (affiliation === 'none' || membersListen) ? 'visitor' : 'participant';
}
