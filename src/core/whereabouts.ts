// Where somebody is who must not be taken for gone by mistake: a Redis that came back empty knows nobody before every node has told it of
// its sessions again. Who is not found meanwhile is looked for until that is over.
import type { Cluster, SessionEntry } from '../cluster/cluster.ts';
import type { BareJid } from '../xmpp/jid.ts';

/** Between two looks, in milliseconds. */
const PAUSE = 250;

/**
 * The session of an account that is meant, as the directory has it by now; undefined where there is certainly none.
 * @throws StorageUnavailable where the directory cannot be asked
 */
export async function whereabouts(
  { directory }: Pick<Cluster, 'directory'>,
  user: BareJid,
  isMeant: (entry: SessionEntry) => boolean,
): Promise<SessionEntry | undefined> {
  for (;;) {
    const entry = (await directory.sessions(user, true)).find(isMeant);
    if (entry !== undefined || !directory.isInDoubt) return entry;
    // (by the real clock: the pause spares Redis)
    await new Promise<void>((resolve) => void setTimeout(resolve, PAUSE).unref());
  }
}
