// Flat copies of strings that outlive the text they were cut from.

// V8 copies slices shorter than this, and only longer ones keep their source alive.
const SHORTEST_SLICE = 13;

/**
 * A copy of its own. What the parser hands out are slices, and a slice keeps the whole chunk of input in memory: use this
 * for what is kept longer than its stanza (addresses of sessions, rosters, caps, occupants). Costs a few hundred ns.
 */
export function flatten(text: string): string {
  if (text.length < SHORTEST_SLICE) return text;
  const copy = Buffer.from(text, 'utf8').toString('utf8');
  // a lone surrogate, which UTF-8 cannot carry; the parser never makes one
  return copy === text ? copy : Buffer.from(text, 'utf16le').toString('utf16le');
}
