// The service: files by whose they are, by their addresses, and by what was said of them.
import { createHash } from 'node:crypto';
import { Jid } from '../../xmpp/jid.ts';
import { ADDRESS, type Ids } from './ids.ts';
import { encodeName } from './names.ts';
import type { ListedFile, Uploads } from './service.ts';
import { isThere, type Shelf } from './shelf.ts';

export interface LibraryParts {
  readonly shelf: Shelf;
  readonly ids: Ids;
  /** The domain of those whose files these are. */
  readonly domain: string;
  readonly now: () => number;
  readonly url: (path: string) => string | undefined;
}

/** Addresses in one message that are looked at. */
const MOST_ADDRESSES = 50;

export class Library implements Uploads {
  private readonly parts: LibraryParts;

  constructor(parts: LibraryParts) {
    this.parts = parts;
  }

  async list(user: string): Promise<readonly ListedFile[]> {
    const now = this.parts.now();
    const all = [...(await this.parts.shelf.all(user))].filter(([, row]) => isThere(row, now));
    return all
      .map(([id, row]) => ({ id, ...row, url: this.parts.url(pathOf(id, row.name)) }))
      .sort((one, other) => one.at - other.at);
  }

  people(): AsyncIterable<string> {
    return this.parts.shelf.people();
  }

  async ownerOf(what: string): Promise<{ readonly user: string; readonly id: string } | undefined> {
    const id = [...what.matchAll(ADDRESS)][0]?.[1] ?? what;
    if (!this.parts.ids.isOurs(id)) return undefined;
    const found = await this.parts.shelf.find(id);
    return found && isThere(found.row, this.parts.now()) ? { user: found.user, id } : undefined;
  }

  remove(user: string, id: string): Promise<boolean> {
    return this.parts.shelf.remove(user, id);
  }

  async mentioned(by: string, text: string, message: string): Promise<void> {
    for (const { user, id } of await this.filesOf(by, text)) await this.parts.shelf.mention(user, id, markOf(message));
  }

  async withdrawn(by: string, text: string, message: string): Promise<void> {
    for (const { user, id } of await this.filesOf(by, text))
      await this.parts.shelf.unmention(user, id, markOf(message));
  }

  /** What others only speak of is not theirs to delete. */
  private async filesOf(by: string, text: string): Promise<readonly { readonly user: string; readonly id: string }[]> {
    const jid = Jid.parse(by);
    if (jid?.domain !== this.parts.domain) return [];
    const named = new Set([...text.matchAll(ADDRESS)].map(([, id]) => id!));
    const ours = [...named].filter((id) => this.parts.ids.isOurs(id)).slice(0, MOST_ADDRESSES);
    const found = await Promise.all(ours.map((id) => this.parts.shelf.find(id)));
    return found.flatMap((one) => (one?.user === jid.local ? [one] : []));
  }
}

/** Short, however long the ids of messages are that clients make up: it is kept with the file. */
function markOf(message: string): string {
  return createHash('sha256').update(message).digest('base64url').slice(0, 22);
}

export function pathOf(id: string, name: string): string {
  return `/upload/${id}/${encodeName(name)}`;
}
