// How results of commands read.

/** A time as people and programs read it, to the second. */
export const time = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');

/** Columns that line up; nothing for no rows. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}
