// What accounts may do: the permissions there are, the roles that are known, and the table of them in parley.yaml.
import { z } from 'zod';

/** What somebody may be allowed, and what it means. */
export const permissions = {
  administer: 'run the commands for administrators',
  moderate: 'take back what others said in any room, and deal with reports',
  invite: 'invite others to the server',
  federate: 'exchange stanzas with other servers',
  'create-rooms': 'make rooms',
  'public-rooms': 'make rooms that are listed',
  upload: 'upload files',
} as const;
export type Permission = keyof typeof permissions;

const names = Object.keys(permissions) as [Permission, ...Permission[]];

/** By the name of the role. */
export type RoleTable = Readonly<Record<string, readonly Permission[]>>;

/** The role of accounts that were given none. */
export const MEMBER = 'member';
/** The role of those who come without an account. */
export const GUEST = 'guest';
/** May do everything, whatever the table says. */
export const ADMIN = 'admin';

const everyday: readonly Permission[] = ['invite', 'federate', 'create-rooms', 'public-rooms', 'upload'];

/** The roles that are there without being written down. */
const knownRoles: RoleTable = {
  [ADMIN]: names,
  moderator: ['moderate', ...everyday],
  [MEMBER]: everyday,
  limited: ['create-rooms', 'upload'],
  [GUEST]: [],
};

export const roles = z
  .record(
    z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, { error: 'a role has a name of small letters, digits and "-"' }),
    z.array(z.enum(names)),
  )
  .refine((table) => !Object.hasOwn(table, ADMIN), { error: 'admins may do everything; that cannot be changed' })
  .prefault({})
  .meta({
    description: `What accounts may do, by role: further roles, or other permissions for \`moderator\`, \`member\`, \`limited\` and \`guest\`, as \`{ limited: [upload] }\`. The permissions are ${names.map((name) => `\`${name}\``).join(', ')}.`,
  });

/** All roles of a host: those that are known, and those that its settings add or replace. */
export function roleTable(configured: z.output<typeof roles>): RoleTable {
  return { ...knownRoles, ...configured };
}
