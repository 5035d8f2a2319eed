// Full-text search in message archives. An archive that is never searched costs nothing: its words are collected when somebody
// searches it, from where the last search ended, a bounded step at a time.
//
// A row per message holds its words, each as it is written and as its stem, hashed together with the owner: so an index over all
// of them (GIN) has every owner's postings to itself. What is found is held against the message before it is shown.
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { StorageUnavailable } from '../errors.ts';
import { idTime } from '../ids.ts';
import type { Archived, ArchivePage, ArchiveQuery, ArchiveSearch } from '../ports.ts';
import type { ReadSearchable, Searchable } from '../specs.ts';
import { fold, wordsOf } from '../words.ts';
import { type ArchiveKeys, firstUuid, idOf, lastUuid, uuidFloor } from './archive-keys.ts';
import type { ArchiveStatements, Wanted } from './archive-statements.ts';
import type { ArchiveTables } from './archive-tables.ts';
import { plainArray, textArray } from './arrays.ts';
import type { Database, Row } from './database.ts';
import { dictionaryOf, Stems } from './stems.ts';

export interface SearchParts {
  readonly database: Database;
  readonly keys: ArchiveKeys;
  readonly statements: ArchiveStatements;
  readonly host: string;
  readonly clock: Pick<Clock, 'now'>;
  /** Messages older than that, in milliseconds, are all there, or their writer says so. */
  readonly settled: number;
  readonly searchable: ReadSearchable;
}

export interface Search {
  find(owner: string, query: ArchiveQuery, search: ArchiveSearch): Promise<ArchivePage>;
}

const step = 200;
// of so many owners, and of so many messages each, we know that they are collected already
const rememberedOwners = 100;
const mostRemembered = 5_000;
const mostWords = 32;
/** What a search waits for the words of a long archive, in times of what it waits for a database that is away. */
const patient = 5;

/** A message as it is indexed. */
interface Indexed {
  readonly uuid: string;
  readonly talk: string;
  readonly ref: string | null;
  readonly replaces: string | undefined;
  readonly forms: ReadonlySet<string>;
}

/** How far an owner's words are collected. */
interface Progress {
  readonly indexed: string;
  readonly languages: readonly string[];
  /** Changes whenever anybody changes the row. */
  readonly version: string;
}

/** Messages too young to be left behind whose words are there: every search passes by them, as others may still come between them. */
interface Collected {
  readonly uuids: ReadonlySet<string>;
  readonly languages: ReadonlySet<string>;
}

export function createSearch(tables: ArchiveTables, parts: SearchParts): Search {
  const { database, keys, statements, host, clock, settled } = parts;
  const { messages, owners, words } = tables;
  const stems = new Stems(database);
  const extensions = new Map<string, Promise<ReadonlySet<string>>>();
  const collected = new LruCache<string, Collected>(rememberedOwners);
  const sql = {
    progress: `SELECT indexed, languages, xmin::text FROM ${owners} WHERE host = $1 AND owner = $2`,
    enrol:
      `INSERT INTO ${owners} (host, owner, key) SELECT $1, $2, $3::bigint ` +
      `WHERE EXISTS (SELECT FROM ${messages} WHERE owner = $3::bigint) ON CONFLICT DO NOTHING`,
    advance:
      `UPDATE ${owners} SET indexed = $3, languages = $4 WHERE host = $1 AND owner = $2 ` +
      'AND xmin = $5::text::xid RETURNING xmin::text',
    // comparisons of rows: see archive-statements.ts
    next:
      `SELECT id, talk, ref, xml FROM ${messages} WHERE (owner, id) > ($1, $2) AND (owner, id) <= ($1, '${lastUuid}') ` +
      `ORDER BY owner, id LIMIT ${step}`,
    insert:
      `INSERT INTO ${words} (owner, talk, id, ref, replaces, words) ` +
      'SELECT $1::bigint, m.talk, m.id, m.ref, m.replaces, w.words ' +
      'FROM unnest($2::int[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[]) AS m (n, talk, id, ref, replaces) ' +
      'JOIN (SELECT n, array_agg(hashtextextended(word, $1::bigint)) AS words ' +
      'FROM unnest($7::int[], $8::text[]) AS f (n, word) GROUP BY n) AS w USING (n) ON CONFLICT DO NOTHING',
    // XEP-0308 3: the original is named by later corrections too
    correct:
      `DELETE FROM ${words} AS w USING (SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::uuid[]) AS c (talk, ref, id)) ` +
      'AS c WHERE (w.ref = c.ref OR w.replaces = c.ref) AND w.talk = c.talk AND w.id < c.id AND coalesce(w.owner = $1, false)',
    drop: `DELETE FROM ${words} WHERE owner = $1 AND id = ANY($2::uuid[])`,
  };

  const read = (xml: string): Searchable | undefined => {
    try {
      return parts.searchable(xml);
    } catch {
      // what cannot be read has no words
      return undefined;
    }
  };

  /** The words of these texts, each as it is written and as its stem. */
  async function formsOf(
    texts: readonly (Searchable | undefined)[],
    fallback: string | undefined,
  ): Promise<Set<string>[]> {
    const found = texts.map((text) => (text === undefined ? new Set<string>() : wordsOf(text.text)));
    const ofLanguage = new Map<string, Set<string>>();
    const dictionary = texts.map((text) => languageOf(text, fallback));
    for (const [i, language] of dictionary.entries()) {
      if (language === undefined) continue;
      const all = ofLanguage.get(language);
      if (all === undefined) ofLanguage.set(language, new Set(found[i]));
      else for (const word of found[i]!) all.add(word);
    }
    const stemmed = new Map<string, ReadonlyMap<string, string>>();
    for (const [language, all] of ofLanguage) stemmed.set(language, await stems.of(language, all));
    return found.map((all, i) => {
      const forms = new Set<string>();
      const stemOf = stemmed.get(dictionary[i] ?? '');
      for (const word of all) {
        forms.add(fold(word));
        if (stemOf !== undefined) forms.add(fold(stemOf.get(word) ?? word));
      }
      return forms;
    });
  }

  async function store(owner: string, rows: readonly Indexed[]): Promise<void> {
    const withWords = rows.filter((row) => row.forms.size > 0);
    if (withWords.length > 0) {
      const numbers: number[] = [];
      const forms: string[] = [];
      for (const [n, row] of withWords.entries()) {
        for (const form of row.forms) {
          numbers.push(n);
          forms.push(form);
        }
      }
      const values = [
        owner,
        plainArray([...withWords.keys()], (n) => n),
        plainArray(withWords, (row) => row.talk),
        plainArray(withWords, (row) => row.uuid),
        plainArray(withWords, (row) => row.ref ?? 'NULL'),
        plainArray(withWords, (row) => row.replaces ?? 'NULL'),
        plainArray(numbers, (n) => n),
        textArray(forms, (form) => form),
      ];
      await database.run(sql.insert, values, true);
    }
    const corrections = rows.filter((row) => row.replaces !== undefined);
    if (corrections.length > 0) {
      const values = [
        owner,
        plainArray(corrections, (row) => row.talk),
        plainArray(corrections, (row) => row.replaces!),
        plainArray(corrections, (row) => row.uuid),
      ];
      await database.run(sql.correct, values, true);
    }
  }

  /** Collects the words of what has come since the last search; returns the dictionaries that the owner's messages need. */
  async function extend(name: string, fallback: string | undefined): Promise<ReadonlySet<string>> {
    const owner = keys.owner(name);
    let [found] = await database.run(sql.progress, [host, name], true);
    if (found === undefined) {
      // nobody, or somebody whom another node has removed since its messages were last written here
      await database.run(sql.enrol, [host, name, owner], true);
      [found] = await database.run(sql.progress, [host, name], true);
    }
    if (found === undefined) return new Set();
    let progress: Progress | undefined = {
      indexed: (found[0] as string | null) ?? firstUuid,
      languages: found[1] as string[],
      version: found[2] as string,
    };
    const known = collected.get(name);
    const languages = new Set([...progress.languages, ...(known?.languages ?? [])]);
    const floor = uuidFloor(clock.now() - settled);
    const young = new Set<string>();
    for (let after = progress.indexed; ; ) {
      const rows = await database.run(sql.next, [owner, after], true);
      const fresh = rows.filter((row) => known?.uuids.has(row[0] as string) !== true);
      const texts = fresh.map((row) => read(row[3] as string));
      const forms = await formsOf(texts, fallback);
      for (const text of texts) {
        const language = languageOf(text, fallback);
        if (language !== undefined) languages.add(language);
      }
      const indexed = fresh.map((row, i): Indexed => {
        const replaces = texts[i]?.replaces;
        return {
          uuid: row[0] as string,
          talk: row[1] as string,
          ref: row[2] as string | null,
          replaces: replaces === undefined ? undefined : keys.ref(replaces),
          forms: forms[i]!,
        };
      });
      await store(owner, indexed);
      // (a correction hides what came before it, also what is seen only later)
      const corrections = new Set(indexed.flatMap((row) => (row.replaces === undefined ? [] : [row.uuid])));
      let last: string | undefined;
      for (const [uuid] of rows as readonly [string][]) {
        if (isBefore(uuid, floor)) last = uuid;
        else if (!corrections.has(uuid)) young.add(uuid);
      }
      // whoever else has changed the row (rows that came late, another node) has the say from then on
      if (progress !== undefined && last !== undefined) progress = await advance(name, progress, last, languages);
      if (rows.length < step) {
        if (young.size > 0 && young.size <= mostRemembered) collected.set(name, { uuids: young, languages });
        else collected.delete(name);
        return languages;
      }
      after = rows.at(-1)![0] as string;
    }
  }

  async function advance(
    owner: string,
    progress: Progress,
    indexed: string,
    languages: ReadonlySet<string>,
  ): Promise<Progress | undefined> {
    if (!isBefore(progress.indexed, indexed)) return progress;
    const all = [...languages];
    const [row] = await database.run(sql.advance, [host, owner, indexed, all, progress.version], false);
    return row === undefined ? undefined : { indexed, languages: all, version: row[0] as string };
  }

  /** One at a time for an owner; who comes meanwhile waits and looks again, since more may have come. */
  async function extended(owner: string, fallback: string | undefined): Promise<ReadonlySet<string>> {
    const before = extensions.get(owner) ?? Promise.resolve();
    const work = before.catch(() => {}).then(() => extend(owner, fallback));
    extensions.set(owner, work);
    const forget = (): void => {
      if (extensions.get(owner) === work) extensions.delete(owner);
    };
    work.then(forget, forget);
    return inTime(work, database.patience * patient);
  }

  /** For every word of a query what may stand for it in a message. */
  async function alternatives(text: string, dictionaries: ReadonlySet<string>): Promise<Wanted> {
    const asked = [...wordsOf(text)].slice(0, mostWords);
    const forms = new Map(asked.map((word) => [word, new Set([fold(word)])]));
    for (const dictionary of dictionaries) {
      for (const [word, stem] of await stems.of(dictionary, asked)) forms.get(word)!.add(fold(stem));
    }
    return [...forms.values()].map((set) => [...set]);
  }

  return {
    async find(owner, query, search) {
      const dictionaries = new Set<string>();
      for (const language of search.languages) {
        const dictionary = dictionaryOf(language);
        if (dictionary !== undefined) dictionaries.add(dictionary);
      }
      const [fallback] = search.languages;
      for (const used of await extended(owner, fallback)) dictionaries.add(used);
      const wanted = await alternatives(search.text, dictionaries);
      if (wanted.length === 0) return { entries: [], complete: true };

      const limit = Math.max(0, query.limit);
      const entries: Archived[] = [];
      let span = query;
      for (;;) {
        const rows = await database.run(...statements.search(owner, span, wanted, limit + 1), true);
        const forms = await formsOf(
          rows.map((row) => read(row[1] as string)),
          fallback,
        );
        const stale: string[] = [];
        for (const [i, row] of rows.entries()) {
          if (wanted.every((word) => word.some((form) => forms[i]!.has(form)))) entries.push(archived(row));
          else stale.push(row[0] as string);
        }
        if (stale.length > 0) await database.run(sql.drop, [keys.owner(owner), `{${stale.join(',')}}`], true);
        const isEnd = rows.length <= limit;
        if (isEnd || entries.length > limit) {
          const page = entries.slice(0, limit);
          if (query.backwards) page.reverse();
          return { entries: page, complete: entries.length <= limit };
        }
        const last = idOf(rows.at(-1)![0] as string);
        span = query.backwards ? { ...query, before: last } : { ...query, after: last };
      }
    },
  };
}

/** The work goes on when it takes too long, and whoever asks again finds it further on: a stream must not stand still for minutes. */
async function inTime<T>(work: Promise<T>, patience: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new StorageUnavailable('this archive is still being prepared for searches')),
      patience,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const languageOf = (text: Searchable | undefined, fallback: string | undefined): string | undefined => {
  const language = text?.language ?? fallback;
  return text === undefined || language === undefined ? undefined : dictionaryOf(language);
};

const archived = (row: Row): Archived => {
  const id = idOf(row[0] as string);
  return { id, at: idTime(id), xml: row[1] as string };
};

const isBefore = (uuid: string, other: string): boolean => uuid.replaceAll('-', '') < other.replaceAll('-', '');
