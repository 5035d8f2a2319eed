// What a new room is, by one of the host's presets.
import type { RoomPreset } from '../../config/rooms.ts';
import { plainConfig, type RoomConfig } from './config.ts';

/** The configuration that a preset stands for. */
export function configOf(preset: RoomPreset): RoomConfig {
  return {
    ...plainConfig,
    isPersistent: preset.persistent ?? plainConfig.isPersistent,
    isPublic: preset.public ?? plainConfig.isPublic,
    isMembersOnly: preset['members-only'] ?? plainConfig.isMembersOnly,
    isModerated: preset.moderated ?? plainConfig.isModerated,
    membersListen: preset['members-listen'] ?? plainConfig.membersListen,
    whois: preset['real-addresses'] ?? plainConfig.whois,
    changeSubject: preset['change-subject'] ?? plainConfig.changeSubject,
    allowInvites: preset.invitations ?? plainConfig.allowInvites,
    allowPm: preset['private-messages'] ?? plainConfig.allowPm,
    allowVoiceRequests: preset['voice-requests'] ?? plainConfig.allowVoiceRequests,
    allowRegistration: preset.registration ?? plainConfig.allowRegistration,
    maxUsers: preset['max-occupants'] ?? plainConfig.maxUsers,
    listOccupants: preset['list-occupants'] ?? plainConfig.listOccupants,
    defaultHistory: preset.history ?? plainConfig.defaultHistory,
    maxHistory: Math.max(preset.history ?? 0, plainConfig.maxHistory),
  };
}
