// Keeps the methods of strings fast. Where a class extends String, V8 (as in Node 20) calls `charCodeAt`, `slice` and the like by a
// look-up each time instead of compiling them into the loops that use them: parsing takes three times as long from then on, in the
// whole process. It is over once something was looked up often enough through an object whose prototype String.prototype is.

/** A dozen are not enough for V8 to take notice. */
const LOOKUPS = 1000;

/** To be called behind whatever loads a library that extends String. */
export function restoreStringMethods(): void {
  const heir = Object.create(String.prototype) as string;
  let found = 0;
  for (let i = 0; i < LOOKUPS; i++) if (heir.charCodeAt !== undefined) found++;
  if (found !== LOOKUPS) throw new TypeError('strings have no methods');
}
