// A task of XEP-0133: its node, its form by the names of the XEP, and what it does.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Command, CommandResult } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { type Fields, formElement, readForm, resultElement, type Values } from '../../xmpp/dataform.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Desk, Desks } from './desk.ts';

/** On what occasion a task is done. */
export interface Occasion {
  readonly asker: Jid;
  /** Has something done later, in milliseconds, and not before the answer is on its way. */
  after(ms: number, what: string, work: () => Promise<void>): void;
}

interface TaskParts<F extends Fields> {
  /** Without the namespace: `add-user`. */
  readonly node: string;
  readonly name: string;
  readonly instructions: string;
  readonly fields: F;
  /** It is for those who run the whole server. */
  readonly isWide?: boolean;
  /** What the fields hold now. */
  now?(desk: Desk): MaybePromise<Values<F>>;
  run(desk: Desk, values: Values<F>, occasion: Occasion): MaybePromise<CommandResult | void>;
}

export interface Task {
  readonly node: string;
  readonly name: string;
  readonly isWide: boolean;
  /** Undefined where there is nothing to fill in. */
  readonly form: ((desk: Desk) => MaybePromise<Element>) | undefined;
  run(desk: Desk, submitted: Element | undefined, occasion: Occasion): MaybePromise<CommandResult | void>;
}

export function defineTask<F extends Fields>({
  node,
  name,
  instructions,
  fields,
  isWide = false,
  ...parts
}: TaskParts<F>): Task {
  const form = { formType: NS.admin, title: name, instructions, fields };
  const isAsking = Object.keys(fields).length > 0;
  return {
    node: `${NS.admin}#${node}`,
    name,
    isWide,
    form: isAsking ? async (desk) => formElement(form, (await parts.now?.(desk)) ?? {}) : undefined,
    run: (desk, submitted, occasion) =>
      parts.run(desk, submitted === undefined ? ({} as Values<F>) : readForm(form, submitted), occasion),
  };
}

/** What a task tells, in the context of the XEP. */
export function tell<F extends Fields>(fields: F, values: Values<F>): CommandResult & { readonly form: Element } {
  return { form: resultElement({ formType: NS.admin, fields }, values) };
}

/** As the commands that modules offer. */
export function offerTask(task: Task, desks: Desks, after: Occasion['after']): Command {
  const { form } = task;
  return {
    target: 'host',
    node: task.node,
    name: task.name,
    mayRun: ({ iq }) => (task.isWide ? desks.isOperator(iq.from) : desks.mayUse(iq.from)),
    ...(form !== undefined && { form: () => form(desks.at()) }),
    async run(request, submitted) {
      const desk = await (task.isWide ? desks.of(request) : desks.here(request));
      return task.run(desk, submitted, {
        asker: request.iq.from,
        after: (ms, what, work) => request.afterReply(() => after(ms, what, work)),
      });
    },
  };
}
