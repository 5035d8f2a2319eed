// Attributes by name, in an object without anything inherited.

/**
 * No name of an attribute is special here, `constructor` and `__proto__` included: the prototype is empty and has none
 * itself. Unlike what Object.create(null) makes, which is a hash table, V8 builds and reads these as records.
 */
export class Attributes {
  [name: string]: string;
}
Object.setPrototypeOf(Attributes.prototype, null);
Reflect.deleteProperty(Attributes.prototype, 'constructor');
Object.freeze(Attributes.prototype);

export const noAttributes: Readonly<Record<string, string>> = Object.freeze(new Attributes());
