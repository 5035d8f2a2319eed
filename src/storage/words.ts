// The words of a text, for searching: by Unicode's categories, alike in every language, whatever the locale of a database is.

const run = /[\p{L}\p{M}\p{N}]+/gu;
// written without spaces: where words end is in a dictionary
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
// accents, niqqud, harakat; not the vowels of Indic scripts, which are marks too
const accents = /[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]/g;
const letters: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  ł: 'l',
  đ: 'd',
  ı: 'i',
  ς: 'σ',
};
const special = new RegExp(`[${Object.keys(letters).join('')}]`, 'g');
const ascii = /^[a-z0-9]*$/;
const halved = /\p{Surrogate}$/u;
const longest = 64;

const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });

/** The different words of a text, in lower case and with their accents; what is longer than any word is cut. */
export function wordsOf(text: string): Set<string> {
  const words = new Set<string>();
  for (const [word] of text.normalize('NFKC').toLowerCase().matchAll(run)) {
    if (!unspaced.test(word)) {
      words.add(cut(word));
      continue;
    }
    for (const { segment } of segmenter.segment(word)) words.add(cut(segment));
  }
  return words;
}

/** What a word of {@link wordsOf} is compared by: without accents, and without letters that many keyboards lack. */
export function fold(word: string): string {
  if (ascii.test(word)) return word;
  const bare = word.normalize('NFKD').replace(accents, '').normalize('NFC');
  return bare.replace(special, (letter) => letters[letter]!);
}

function cut(word: string): string {
  if (word.length <= longest) return word;
  const part = word.slice(0, longest);
  return halved.test(part) ? part.slice(0, -1) : part;
}
