// The forms of a command, one after another (XEP-0050 2.4.2, 3.4): what may be done at each, and what comes when one goes back.
import type { Command, CommandStage } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { rawValues } from '../../xmpp/dataform.ts';
import { NS } from '../../xmpp/ns.ts';

export type Action = 'next' | 'prev' | 'complete' | 'cancel';

/** All its forms, the first one too. */
export function stagesOf({ form, further = [] }: Command): readonly CommandStage[] {
  return form === undefined ? further : [{ form: (request) => form(request) }, ...further];
}

/** What an action means at a stage: `execute` is the one that leads on. */
export function meantBy(command: Command, at: number, action: string): Action {
  if (action !== 'execute') return action as Action;
  return at + 1 < stagesOf(command).length ? 'next' : 'complete';
}

/** What may be done at a stage, and what is usual (3.4). */
export function actionsAt(command: Command, at: number): Element {
  const rest = stagesOf(command).slice(at + 1);
  const allowed: Action[] = [
    ...(at > 0 ? ['prev' as const] : []),
    ...(rest.length > 0 ? ['next' as const] : []),
    ...(rest.every(({ optional }) => optional) ? ['complete' as const] : []),
  ];
  const execute = meantBy(command, at, 'execute');
  return el('actions', NS.commands, { execute }, ...allowed.map((name) => el(name, NS.commands)));
}

/** A form as it was filled in before: whoever goes back finds what they had written. */
export function answeredBefore(form: Element, answer: Element): Element {
  const values = rawValues(answer);
  const filled = form.elements().map((field) => {
    const given = field.name === 'field' ? values.get(field.attrs.var ?? '') : undefined;
    if (given === undefined || field.attrs.type === 'fixed') return field;
    const rest = field.elements().filter(({ name }) => name !== 'value');
    const now = given.map((value) => el('value', NS.dataForms, undefined, value));
    return el('field', NS.dataForms, field.attrs, ...rest, ...now);
  });
  return el('x', NS.dataForms, form.attrs, ...filled);
}
