// Forms of service discovery (XEP-0128): what an entity tells of itself beside features.
import { type Element, el } from '../xml/element.ts';
import { formTypeOf } from './dataform.ts';
import { NS } from './ns.ts';

export type InfoField = readonly [name: string, type: string, values: readonly string[]];

/** @param formType what the names of the fields are defined by (XEP-0068) */
export function infoForm(formType: string, fields: readonly InfoField[]): Element {
  const all: readonly InfoField[] = [['FORM_TYPE', 'hidden', [formType]], ...fields];
  return el('x', NS.dataForms, { type: 'result' }, ...all.map(fieldElement));
}

function fieldElement([name, type, values]: InfoField): Element {
  const children = values.map((value) => el('value', NS.dataForms, undefined, value));
  return el('field', NS.dataForms, { var: name, type }, ...children);
}

/** As forms of one type are one form (XEP-0115 5.4): its fields, from whatever module they come. */
export function mergeForms(forms: readonly Element[]): Element[] {
  const byType = new Map<string | Element, Element>();
  for (const form of forms) {
    const type = formTypeOf(form) ?? form;
    const before = byType.get(type);
    const isField = (child: Element): boolean => child.attrs.var !== 'FORM_TYPE';
    byType.set(type, before === undefined ? form : before.append(...form.elements().filter(isField)));
  }
  return [...byType.values()];
}
