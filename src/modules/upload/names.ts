// What files are called and what they are: in addresses (RFC 3986), in headers (RFC 6266), and to browsers.

/** Of a name, in UTF-8. */
const LONGEST = 255;
/** Of what follows the last dot of a name that is too long, with it. */
const LONGEST_ENDING = 20;

/** A name that is a segment of a path and nothing else, with its ending; whatever was given. */
export function fileName(given: string): string {
  const last = given.split(/[/\\]/).findLast((part) => part !== '') ?? '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  const plain = last.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '').trim();
  if (/^\.*$/.test(plain)) return 'file';
  return Buffer.byteLength(plain) <= LONGEST ? plain : shortened(plain);
}

function shortened(name: string): string {
  const dot = name.lastIndexOf('.');
  const ending = dot > 0 && Buffer.byteLength(name.slice(dot)) <= LONGEST_ENDING ? name.slice(dot) : '';
  let left = LONGEST - Buffer.byteLength(ending);
  let stem = '';
  for (const character of name) {
    left -= Buffer.byteLength(character);
    if (left < 0) break;
    stem += character;
  }
  return stem + ending;
}

/** XEP-0363 4: as a segment of a URL, everything but what is certainly plain percent-encoded. */
export function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** What is taken for the type of what has none. */
export const UNKNOWN_TYPE = 'application/octet-stream';

const token = "[a-z0-9!#$%&'*+.^_`|~-]+";
const mediaType = new RegExp(
  `^(${token}/${token})((?:[ \\t]*;[ \\t]*${token}=(?:${token}|"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"))*)[ \\t]*;?[ \\t]*$`,
  'i',
);

/** A media type (RFC 9110 8.3.1) as it may stand in a header; undefined for what is none. */
export function parseType(text: string): string | undefined {
  const found = text.length > 200 ? null : mediaType.exec(text.trim());
  return found === null ? undefined : found[1]!.toLowerCase() + found[2]!;
}

/** Without its parameters. */
export function essence(type: string): string {
  return type.split(';', 1)[0]!.trim().toLowerCase();
}

/**
 * What a browser shows without running anything: all else it is told to save. A list of what is harmless, since there is always one more
 * type that is not (HTML, SVG, XML with a style sheet, PDF with scripts).
 */
export function isHarmless(type: string): boolean {
  const plain = essence(type);
  return plain === 'text/plain' || (/^(image|audio|video)\//.test(plain) && !/xml|svg/.test(plain));
}

/** RFC 6266: with the name in both forms, the older one for those who know no other. */
export function disposition(type: string, name: string): string {
  const kind = isHarmless(type) ? 'inline' : 'attachment';
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  return `${kind}; filename="${plain}"; filename*=UTF-8''${encodeName(name)}`;
}
