// What rooms ask of the accounts of a host: to tell people who are not there.
import { defineService } from '../../core/module.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Judged } from './worth.ts';

export interface Pushes {
  /**
   * Something was said in a room to which an account belongs: its clients that are not connected are told. Nobody waits for it.
   * @param nick what is registered for the account
   */
  toMember(account: Jid, judged: Judged, room: Jid, nick: string | undefined, isPrivate: boolean): void;
}
export const pushes = defineService<Pushes>('push');
