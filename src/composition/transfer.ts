// Files of accounts (XEP-0227): written host by host and user by user, read piece by piece, with the files that they include (5). Whatever is in memory
// of a file is one piece of it.
import { createReadStream } from 'node:fs';
import { lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { CommandError } from '../core/commands.ts';
import type { Host } from '../core/host.ts';
import {
  type AccountReader,
  type AccountReport,
  type Exported,
  type Imported,
  portability,
  type Wanted,
} from '../core/transfer.ts';
import type { Element } from '../xml/element.ts';
import { escapeAttr } from '../xml/escape.ts';
import { ParseError } from '../xml/parse-error.ts';
import { Pieces } from '../xml/pieces.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';

/** Files inside files, the first one not counted. */
const MOST_INCLUDED = 4;

/** Accounts with all they have, as a document. @param wanted one host, or one account; all unless given */
export async function* exportAccounts(
  hosts: Iterable<Host>,
  wanted: Wanted = {},
): AsyncGenerator<string, void, undefined> {
  yield `<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='${NS.pie}'>\n`;
  for (const host of hosts) {
    const service =
      host.kind === 'users' && host.settings.authentication !== 'anonymous' ? host.find(portability) : undefined;
    if (service === undefined || (wanted.host !== undefined && wanted.host !== host.domain)) continue;
    yield `<host jid='${escapeAttr(host.domain)}'>\n`;
    const names = wanted.user === undefined ? namesOf(host) : [wanted.user];
    for await (const name of names) {
      const xml = await service.write(name);
      if (xml === undefined) continue;
      yield* xml;
      yield '\n';
    }
    yield '</host>\n';
  }
  yield '</server-data>\n';
}

async function* namesOf({ accounts }: Host): AsyncGenerator<string, void, undefined> {
  let after: string | undefined;
  for (;;) {
    const page = await accounts.list(after, 500);
    if (page.length === 0) return;
    yield* page;
    after = page.at(-1);
  }
}

/** Writes a file that nobody else can read, and that is there when it is whole. */
export async function writeExport(file: string, document: AsyncIterable<string>): Promise<Exported> {
  const temporary = `${file}.part`;
  const handle = await open(temporary, 'w', 0o600);
  let bytes = 0;
  let accounts = 0;
  try {
    for await (const text of document) {
      if (text.startsWith('<user ')) accounts++;
      bytes += (await handle.write(text)).bytesWritten;
    }
    await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await handle.close();
  await rename(temporary, file);
  return { file, accounts, bytes };
}

/** Reads a file, or all files of a folder. @throws CommandError where there is none, or it is not what it should be */
export async function importFile(hosts: ReadonlyMap<string, Host>, path: string, isDry: boolean): Promise<Imported> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined) throw new CommandError('not-found', `there is no file ${path}`);
  const files = stats.isDirectory()
    ? (await readdir(path))
        .filter((name) => name.endsWith('.xml'))
        .sort()
        .map((name) => join(path, name))
    : [path];
  const run = new Import(hosts, isDry);
  const included = new Set<string>();
  for (const file of files) if (!included.has(file)) await run.read(file, included);
  return run.outcome;
}

/** Reads a document that comes from elsewhere; it includes no others. @throws CommandError where it is not what it should be */
export async function importDocument(
  hosts: ReadonlyMap<string, Host>,
  document: AsyncIterable<Uint8Array>,
  isDry: boolean,
): Promise<Imported> {
  const run = new Import(hosts, isDry);
  await run.readFrom(document, undefined, new Set(), 0);
  return run.outcome;
}

class Import {
  private readonly hosts: ReadonlyMap<string, Host>;
  private readonly isDry: boolean;
  private readonly accounts: AccountReport[] = [];
  private readonly lines: string[] = [];
  /** Where in the document it is, over all files. */
  private domain: string | undefined;
  private user: AccountReader | undefined;
  /** Inside of a user, what is open. */
  private inside = 0;

  constructor(hosts: ReadonlyMap<string, Host>, isDry: boolean) {
    this.hosts = hosts;
    this.isDry = isDry;
  }

  get outcome(): Imported {
    return { dry: this.isDry, accounts: this.accounts, lines: this.lines };
  }

  async read(file: string, included: Set<string>, depth = 0, folder = dirname(resolve(file))): Promise<void> {
    try {
      await this.readFrom(createReadStream(file), { file: resolve(file), folder }, included, depth);
    } catch (error) {
      if (error instanceof ParseError) throw new CommandError('refused', `${file}: ${error.message}`);
      throw error;
    }
  }

  async readFrom(
    source: AsyncIterable<Uint8Array>,
    place: { readonly file: string; readonly folder: string } | undefined,
    included: Set<string>,
    depth: number,
  ): Promise<void> {
    const pieces = new Pieces({ opens: (tag, around) => this.opens(tag, around) });
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const decode = (bytes?: Uint8Array): string => {
      try {
        return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
      } catch {
        throw new CommandError('refused', 'the file is not UTF-8');
      }
    };
    for await (const bytes of source) {
      for (const piece of pieces.write(decode(bytes))) {
        const { around } = pieces;
        if (piece.kind === 'open') this.open(piece.tag);
        else if (piece.kind === 'close') await this.close(piece.tag, around);
        else if (piece.element.is('include', NS.xinclude) && this.inside === 0)
          await this.include(piece.element, place, included, depth);
        else await this.take(piece.element, around);
      }
    }
    decode();
    pieces.end();
  }

  private opens(tag: Element, around: readonly Element[]): boolean {
    if (this.user !== undefined) return this.user.opens(tag, withoutUser(around, this.inside));
    return (tag.name === 'host' || tag.name === 'user') && tag.ns === NS.pie;
  }

  private open(tag: Element): void {
    if (this.user !== undefined) {
      this.inside++;
      return;
    }
    if (tag.is('server-data', NS.pie)) return;
    if (tag.is('host', NS.pie)) {
      const jid = Jid.parse(tag.attrs.jid ?? '');
      this.domain = jid?.domain ?? '';
      if (!this.hosts.has(this.domain))
        this.note(`${tag.attrs.jid ?? '(no name)'} is not served here: its accounts are left out`);
      return;
    }
    if (!tag.is('user', NS.pie))
      throw new CommandError('refused', `<${tag.name}> is no part of such a file (XEP-0227)`);
    if (this.domain === undefined)
      throw new CommandError('refused', 'an account stands outside of a host: give the file that includes it');
    const service = this.hosts.get(this.domain)?.find(portability);
    this.user = service?.read(tag, this.isDry) ?? nobody(tag, this.domain);
  }

  private async take(element: Element, around: readonly Element[]): Promise<void> {
    if (this.user === undefined) return this.note(`<${element.name}> is not known here`);
    await this.user.take(element, withoutUser(around, this.inside));
  }

  private async close(tag: Element, around: readonly Element[]): Promise<void> {
    if (this.user !== undefined && this.inside > 0) {
      this.inside--;
      await this.user.close(tag, withoutUser(around, this.inside));
      return;
    }
    if (this.user !== undefined) {
      const { user } = this;
      await user.end();
      this.user = undefined;
      if (this.domain !== undefined && this.hosts.has(this.domain)) this.accounts.push(user.report);
      return;
    }
    if (tag.is('host', NS.pie)) this.domain = undefined;
  }

  /** XEP-0227 5: relative, without anything else; and nothing outside of the folder that the first file is in. */
  private async include(
    { attrs: { href = '', parse, xpointer } }: Element,
    place: { readonly file: string; readonly folder: string } | undefined,
    included: Set<string>,
    depth: number,
  ): Promise<void> {
    if (place === undefined) throw new CommandError('refused', 'what comes over the network includes no files');
    if (parse !== undefined || xpointer !== undefined || /^[a-z][a-z0-9+.-]*:|^\/|[?#]/i.test(href))
      throw new CommandError('refused', `"${href}" cannot be included`);
    let path: string;
    try {
      path = resolve(dirname(place.file), decodeURIComponent(href));
    } catch {
      throw new CommandError('refused', `"${href}" is not the name of a file`);
    }
    const inside = relative(place.folder, path);
    if (inside.startsWith('..') || isAbsolute(inside) || depth >= MOST_INCLUDED)
      throw new CommandError('refused', `"${href}" is outside of the folder, or includes itself`);
    if ((await lstat(path).catch(() => undefined))?.isFile() !== true)
      throw new CommandError('not-found', `${path}, which ${place.file} includes, is no file`);
    included.add(path);
    await this.read(path, included, depth + 1, place.folder);
  }

  private note(line: string): void {
    if (this.lines.length < 100) this.lines.push(line.slice(0, 500));
  }
}

/** Start tags below the user's. */
const withoutUser = (around: readonly Element[], inside: number): readonly Element[] =>
  inside === 0 ? [] : around.slice(-inside);

/** Reads an account of a host that is not here. */
function nobody({ attrs: { name = '' } }: Element, domain: string): AccountReader {
  const done = async (): Promise<void> => {};
  const report = { jid: `${name}@${domain}`, state: 'refused', counts: {}, lines: [] } as const;
  return { report, opens: (tag) => tag.ns === NS.pieMam || tag.ns === NS.pie, take: done, close: done, end: done };
}
