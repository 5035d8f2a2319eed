// What the portions of an account's file have in common.
import type { Element } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';

/** A stanza, as XML that says which namespace it is in: around it there is another one. @param xml as stanzas are stored */
export function standingAlone(xml: string): string {
  return xml.replace(/^<[a-z]+/, (start) => `${start} xmlns='${NS.client}'`);
}

/** Whether an element is that one, or its start tag is. */
export const isNamed =
  (name: string, ns: string | null) =>
  (element: Element): boolean =>
    element.is(name, ns);

/** Everything of a store that is read page by page. */
export async function* pages<T extends { readonly id: string }>(
  read: (
    after: string | undefined,
  ) => Promise<{ readonly entries: readonly T[]; readonly complete: boolean } | undefined>,
): AsyncGenerator<readonly T[], void, undefined> {
  let after: string | undefined;
  for (;;) {
    const page = await read(after);
    if (page === undefined || page.entries.length === 0) return;
    yield page.entries;
    if (page.complete) return;
    after = page.entries.at(-1)!.id;
  }
}
