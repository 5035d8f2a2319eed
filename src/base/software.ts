// What this program is, as it tells others.
import { readFileSync } from 'node:fs';

export const softwareName = 'Parley';

/** The version in package.json, which is at the same place from the sources and from the compiled files. */
export function softwareVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
