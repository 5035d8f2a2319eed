// Arrays as PostgreSQL writes them (PostgreSQL manual, 8.15.6).

const special = /["\\]/;

/** One text of every row. */
export function textArray<R>(rows: readonly R[], text: (row: R) => string): string {
  let array = '{';
  for (const row of rows) {
    if (array.length > 1) array += ',';
    const element = text(row);
    array += special.test(element) ? `"${element.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : `"${element}"`;
  }
  return `${array}}`;
}

/** One value of every row whose text needs no quotes; `NULL` is one. */
export function plainArray<R>(rows: readonly R[], value: (row: R) => string | number): string {
  let array = '{';
  for (const row of rows) {
    if (array.length > 1) array += ',';
    array += value(row);
  }
  return `${array}}`;
}
