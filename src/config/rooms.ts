// The settings of the host for rooms (XEP-0045) that stands below each domain.
import { z } from 'zod';
import type { Path } from './problems.ts';
import { quote } from './schema.ts';
import { serviceDomain } from './services.ts';

/** What a new room is: a set of settings, of which the others are those of a plain room. */
const preset = z.strictObject({
  persistent: z.boolean().optional().meta({ description: 'It stays when the last occupant leaves.' }),
  public: z.boolean().optional().meta({ description: 'It is listed.' }),
  'members-only': z.boolean().optional().meta({ description: 'Only members may enter.' }),
  moderated: z.boolean().optional().meta({ description: 'Only members, and who is given voice, may speak.' }),
  'members-listen': z
    .boolean()
    .optional()
    .meta({ description: 'Where it is moderated, members listen, too, until they are given voice.' }),
  'real-addresses': z
    .enum(['anyone', 'moderators'])
    .optional()
    .meta({ description: 'Who sees the addresses of the people in it.' }),
  'change-subject': z.boolean().optional().meta({ description: 'Participants may change the subject.' }),
  invitations: z.boolean().optional().meta({ description: 'Members may invite others, and make them members.' }),
  'private-messages': z
    .enum(['anyone', 'participants', 'moderators', 'none'])
    .optional()
    .meta({ description: 'Who may send private messages.' }),
  'voice-requests': z.boolean().optional().meta({ description: 'Visitors may ask for voice.' }),
  registration: z.boolean().optional().meta({ description: 'People may register with it.' }),
  'max-occupants': z.int().min(0).optional().meta({ description: 'People in it at a time; 0 for no limit.' }),
  'list-occupants': z.boolean().optional().meta({ description: 'Who is inside is listed to those who may enter.' }),
  history: z.int().min(0).max(1000).optional().meta({ description: 'Messages sent on entry, unless asked for more.' }),
});
export type RoomPreset = z.output<typeof preset>;

const inTeams: RoomPreset = { persistent: true, 'real-addresses': 'anyone', 'change-subject': true };
/** The sets that are there without being written down. */
const knownPresets: Readonly<Record<string, RoomPreset>> = {
  plain: {},
  'public channel': { ...inTeams, public: true, invitations: true },
  'private channel': { ...inTeams, public: false, 'members-only': true, invitations: true, registration: false },
  announcements: { persistent: true, public: true, moderated: true, 'members-listen': true },
  group: { ...inTeams, public: false, 'members-only': true, invitations: false, registration: false },
};

/** The set of that name; undefined where there is none. */
export function presetOf({ presets }: z.output<typeof rooms>, name: string): RoomPreset | undefined {
  if (Object.hasOwn(presets, name)) return presets[name];
  return Object.hasOwn(knownPresets, name) ? knownPresets[name] : undefined;
}

export const rooms = z
  .strictObject({
    enabled: z
      .boolean()
      .prefault(true)
      .meta({ description: 'Whether there are rooms. `rooms: false` says the same as `rooms: { enabled: false }`.' }),
    domain: serviceDomain(
      'groups.*',
      'The domain that the rooms are at; `*` stands for the domain of the host. Other servers look it up by this name.',
    ),
    creation: z.enum(['local', 'admins', 'anyone']).prefault('local').meta({
      description: 'Who may make rooms: the people of the host, its admins alone, or people of other servers too.',
    }),
    'per-account': z
      .int()
      .min(0)
      .prefault(200)
      .meta({ description: 'Rooms that one person may own, made by entering them; 0 for no limit.' }),
    presets: z.record(z.string(), preset).prefault({}).meta({
      description:
        'Sets of settings that new rooms may begin with, by name, beside `plain`, `public channel`, `private channel`, `group` and `announcements`, which may be replaced.',
    }),
    'default-preset': z
      .string()
      .prefault('plain')
      .meta({ description: 'The preset of a room that somebody makes by entering it.' }),
  })
  .prefault({})
  .meta({ description: 'Rooms for many people (XEP-0045), on a domain of their own below each host.' });

/** What has to be known of a host's settings. */
interface Settings {
  readonly rooms: z.output<typeof rooms>;
}

/** Rooms may begin only as what is described. */
export function checkRooms(
  hosts: Readonly<Record<string, Settings>>,
  report: (path: Path, message: string) => void,
): void {
  for (const [host, { rooms: settings }] of Object.entries(hosts)) {
    const { 'default-preset': name } = settings;
    if (presetOf(settings, name) !== undefined) continue;
    report(['hosts', host, 'rooms', 'default-preset'], `There is no preset ${quote(name)}. Describe it in "presets".`);
  }
}
