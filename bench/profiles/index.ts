// The load profiles on offer: one file each.

import type { Profile } from '../load/profile.ts';
import { chat } from './chat.ts';
import { cluster } from './cluster.ts';
import { federation } from './federation.ts';
import { idle } from './idle.ts';
import { login } from './login.ts';
import { mam } from './mam.ts';
import { muc } from './muc.ts';
import { pep } from './pep.ts';
import { resume } from './resume.ts';

export const profiles: Readonly<Record<string, Profile>> = {
  login,
  idle,
  chat,
  federation,
  cluster,
  resume,
  mam,
  muc,
  pep,
};

/** Throws for a name that is not on offer. */
export function profileNamed(name: string): Profile {
  const profile = profiles[name];
  if (!profile) throw new Error(`no profile ${name}; there are: ${Object.keys(profiles).join(', ')}`);
  return profile;
}
