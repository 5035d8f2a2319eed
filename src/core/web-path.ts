// Paths of routes: `/upload/:id/:name`, `/chat/*`. Compared segment by segment, before anything is decoded.

/** What stood for the names; `malformed` where that cannot be decoded. */
export type Match = Readonly<Record<string, string>> | 'malformed';
/** Undefined where the path is another one. */
export type MatchRoute = (path: string) => Match | undefined;

/** @throws Error for what is no path */
export function compileRoute(pattern: string): MatchRoute {
  if (!pattern.startsWith('/')) throw new Error(`"${pattern}" is no path: it begins with "/"`);
  const segments = pattern.split('/').slice(1);
  const hasRest = segments.at(-1) === '*';
  const fixed = hasRest ? segments.slice(0, -1) : segments;
  return (path) => {
    if (!path.startsWith('/')) return undefined;
    const parts = path.split('/').slice(1);
    if (hasRest ? parts.length < fixed.length : parts.length !== fixed.length) return undefined;
    const raw: [string, string][] = [];
    for (const [at, segment] of fixed.entries()) {
      const part = parts[at]!;
      if (!segment.startsWith(':')) {
        if (part !== segment) return undefined;
      } else if (part === '') return undefined;
      else raw.push([segment.slice(1), part]);
    }
    if (!hasRest) return decodeAll(raw);
    const named = decodeAll(raw);
    const rest = restOf(parts.slice(fixed.length));
    return named === 'malformed' || rest === undefined ? 'malformed' : { ...named, '*': rest };
  };
}

function decodeAll(raw: readonly (readonly [string, string])[]): Match {
  const found: Record<string, string> = {};
  for (const [name, text] of raw) {
    const value = decode(text);
    if (value === undefined) return 'malformed';
    found[name] = value;
  }
  return found;
}

/** A path below, which leads nowhere else. */
function restOf(parts: readonly string[]): string | undefined {
  const decoded = parts.map(decode);
  const isPlain = decoded.every((part) => part !== undefined && part !== '..' && part !== '.' && !/[/\\]/.test(part));
  return isPlain ? decoded.join('/') : undefined;
}

/** Undefined for what is no UTF-8, or has characters that no name has. */
function decode(text: string): string | undefined {
  try {
    const value = decodeURIComponent(text);
    return value.includes('\0') ? undefined : value;
  } catch {
    return undefined;
  }
}
