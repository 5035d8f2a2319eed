// Stems of words, by the Snowball dictionaries that every PostgreSQL has (PostgreSQL manual, 12.6.6).
import { LruCache } from '../../base/lru.ts';
import type { Database } from './database.ts';

const dictionaries: Readonly<Record<string, string>> = {
  ar: 'arabic',
  ca: 'catalan',
  da: 'danish',
  de: 'german',
  el: 'greek',
  en: 'english',
  es: 'spanish',
  et: 'estonian',
  eu: 'basque',
  fi: 'finnish',
  fr: 'french',
  ga: 'irish',
  hi: 'hindi',
  hu: 'hungarian',
  hy: 'armenian',
  id: 'indonesian',
  it: 'italian',
  lt: 'lithuanian',
  nb: 'norwegian',
  ne: 'nepali',
  nl: 'dutch',
  nn: 'norwegian',
  no: 'norwegian',
  pt: 'portuguese',
  ro: 'romanian',
  ru: 'russian',
  sr: 'serbian',
  sv: 'swedish',
  ta: 'tamil',
  tr: 'turkish',
  yi: 'yiddish',
};
const remembered = 50_000;

/** The dictionary of a language (RFC 5646), as far as PostgreSQL may have one. */
export function dictionaryOf(language: string): string | undefined {
  const [primary = ''] = language.toLowerCase().split('-', 1);
  return Object.hasOwn(dictionaries, primary) ? dictionaries[primary] : undefined;
}

export class Stems {
  readonly #database: Database;
  readonly #known = new LruCache<string, string>(remembered);
  #installed: Promise<ReadonlySet<string>> | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The stem of every one of these words; a word that the dictionary does not know or care for is its own. */
  async of(dictionary: string, words: Iterable<string>): Promise<ReadonlyMap<string, string>> {
    const stems = new Map<string, string>();
    const unknown: string[] = [];
    for (const word of words) {
      const stem = this.#known.get(`${dictionary}\0${word}`);
      if (stem === undefined) unknown.push(word);
      else stems.set(word, stem);
    }
    if (unknown.length === 0) return stems;
    const isInstalled = (await this.#dictionaries()).has(`${dictionary}_stem`);
    const text =
      'SELECT ts_lexize($1::regdictionary, w) FROM unnest($2::text[]) WITH ORDINALITY AS w (w, n) ORDER BY n';
    const values = [`pg_catalog.${dictionary}_stem`, unknown];
    const rows = isInstalled ? await this.#database.run(text, values, true) : [];
    for (const [i, word] of unknown.entries()) {
      const [stem = word] = (rows[i]?.[0] ?? []) as string[];
      stems.set(word, stem);
      this.#known.set(`${dictionary}\0${word}`, stem);
    }
    return stems;
  }

  #dictionaries(): Promise<ReadonlySet<string>> {
    if (this.#installed === undefined) {
      const text = "SELECT dictname::text FROM pg_ts_dict WHERE dictnamespace = 'pg_catalog'::regnamespace";
      const found = this.#database.run(text, [], true).then((rows) => new Set(rows.map((row) => row[0] as string)));
      this.#installed = found;
      found.catch(() => {
        this.#installed = undefined;
      });
    }
    return this.#installed;
  }
}
