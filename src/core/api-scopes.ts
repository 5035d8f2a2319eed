// What a token of the REST interface may do: scopes, each a group of things and whether they are only read.
import { z } from 'zod';

/** The groups there are: the first part of every path of the interface. */
export const scopeGroups = [
  'users',
  'sessions',
  'rooms',
  'pubsub',
  'invitations',
  'reports',
  'uploads',
  'circles',
  'federation',
  'cluster',
  'server',
] as const;
export type ScopeGroup = (typeof scopeGroups)[number];
export type Access = 'read' | 'write';

/** `users:read`, `rooms:write`; `*:read` is for all groups. Whoever may write may read. */
export type Scope = `${ScopeGroup | '*'}:${Access}`;

const all: ReadonlySet<string> = new Set(['*', ...scopeGroups].flatMap((group) => [`${group}:read`, `${group}:write`]));

export const scope = z.string().refine((text): text is Scope => all.has(text), {
  error: ({ input }) =>
    `${JSON.stringify(input)} is no scope. Try "users:read" or "*:write"; the groups are: ${scopeGroups.join(', ')}.`,
});

/** Whether one of these scopes lets somebody in. */
export function isCovered(scopes: readonly string[], group: ScopeGroup, access: Access): boolean {
  return scopes.some((one) => {
    const [of, to] = one.split(':');
    return (of === '*' || of === group) && (to === access || to === 'write');
  });
}
