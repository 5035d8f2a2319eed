// The messages that a report is about (XEP-0377 5): from the reporter's own archive, or from that of a room here.
import type { AdminContext } from '../../core/commands.ts';
import { parseElement } from '../../xml/document.ts';
import { Jid } from '../../xmpp/jid.ts';
import { BlockList } from '../blocking/list.ts';
import { speakerOf } from '../room-archive/said.ts';
import type { Report } from './reading.ts';

/** Characters of all messages of one report. */
const LONGEST = 64 * 1024;

/**
 * Those that are found, and are of whom the report is about: nobody is made to have said what others said. A room is asked only for what its
 * people have read; what of it is shown is shown to those who moderate the server.
 */
export async function findMessages(
  admin: Pick<AdminContext, 'archives' | 'parentOf'>,
  reporter: Jid,
  reported: Jid,
  { stanzas }: Pick<Report, 'stanzas'>,
): Promise<readonly string[]> {
  const found: string[] = [];
  let length = 0;
  for (const { by, id } of stanzas) {
    const isOwn = by.bare === reporter.bare;
    const isRoom = !isOwn && by.domain !== reporter.domain && admin.parentOf(by.domain) === reporter.domain;
    if (!isOwn && !isRoom) continue;
    const archives = await admin.archives(by.domain);
    const xml = await archives?.message(by.local, id);
    if (xml === undefined || !isBy(reported, xml, isRoom)) continue;
    length += xml.length;
    if (length > LONGEST) break;
    found.push(xml);
  }
  return found;
}

function isBy(reported: Jid, xml: string, isRoom: boolean): boolean {
  const message = parseElement(xml);
  const list = new BlockList([reported.full]);
  const from = Jid.parse(message.attrs.from ?? '');
  if (from !== undefined && list.has(from)) return true;
  // in a room it may be the person who is blocked, and not the nick
  const speaker = isRoom ? speakerOf(message) : undefined;
  const jid = speaker === undefined ? undefined : Jid.parse(speaker);
  return jid !== undefined && list.has(jid);
}
