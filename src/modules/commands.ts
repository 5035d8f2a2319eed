// XEP-0050: Ad-Hoc Commands. Offers what modules declare as `commands`, at the domain and in rooms, to those who may run them.
//
// - 3.2: each has one stage, and all that it needs is in what is submitted. A session is therefore nothing but its id: none expires, and
//   it makes no difference which node is asked.
// - 2.3 MAY: nobody is sent the list unasked.
// - 3.6 SHOULD: texts are in English, whatever language is asked for; they say so.
import { randomBytes } from 'node:crypto';
import { andThen, isPromise, type MaybePromise } from '../base/maybe.ts';
import { type NodeAsked, nodeAsked } from '../core/events.ts';
import type { Instance } from '../core/host.ts';
import { type Command, type CommandResult, defineModule, type IqRequest, iqSet, on } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { roomInfo } from './muc/hooks.ts';

type Target = Command['target'];

export default defineModule({
  xeps: ['XEP-0050 1.3.0'],
  summary: 'Offers what modules do by forms',
  hosts: ['users', 'rooms', 'pubsub', 'upload'],

  setup({ host }) {
    let made: { readonly of: readonly Instance[]; readonly all: ReadonlyMap<string, Command> } | undefined;

    /** By target and node. The list of modules is replaced as a whole when it changes. */
    function commands(): ReadonlyMap<string, Command> {
      if (made?.of !== host.instances) {
        const all = host.instances.flatMap(({ installed }) => installed.commands ?? []);
        made = { of: host.instances, all: new Map(all.map((one) => [keyOf(one.target, one.node), one])) };
      }
      return made.all;
    }

    function listed(target: Target, request: IqRequest): Element[] {
      const mine = [...commands().values()].filter((one) => one.target === target && one.mayRun(request));
      const jid = request.iq.to.full;
      return mine.map(({ node, name }) => el('item', NS.discoItems, { jid, node, name }));
    }

    function describe(event: NodeAsked): void {
      const { target, node, request, what } = event;
      if (target === 'account') return;
      if (node === NS.commands) {
        event.answer = what === 'items' ? listed(target, request) : [identity('command-list', 'Commands')];
        return;
      }
      const command = commands().get(keyOf(target, node));
      if (command === undefined) return;
      // 2.2 SHOULD
      if (!command.mayRun(request)) event.answer = new StanzaError('forbidden', 'this command is not for you');
      else if (what === 'items') event.answer = [];
      else {
        const features = [NS.commands, NS.dataForms].map((name) => el('feature', NS.discoInfo, { var: name }));
        event.answer = [identity('command-node', command.name), ...features];
      }
    }

    function execute(target: Target, request: IqRequest): MaybePromise<Element> {
      const { payload } = request;
      const { node = '', action = 'execute' } = payload.attrs;
      const command = commands().get(keyOf(target, node));
      if (command === undefined) throw new StanzaError('item-not-found', 'there is no such command');
      if (!command.mayRun(request)) throw new StanzaError('forbidden', 'this command is not for you');
      if (!actions.has(action)) throw refused('malformed-action');
      if (action === 'cancel') return answer(payload, 'canceled');
      // there is but one stage
      if (action === 'prev' || action === 'next') throw refused('bad-action');
      const form = payload.getChild('x', NS.dataForms);
      if (command.form !== undefined && form === undefined) {
        if (action === 'complete') throw refused('bad-payload', 'the form has to be filled in');
        const stages = el('actions', NS.commands, { execute: 'complete' }, el('complete', NS.commands));
        return andThen(command.form(request), (x) => answer(payload, 'executing', stages, x));
      }
      return andThen(run(command, request, form), (result) => answer(payload, 'completed', ...partsOf(result ?? {})));
    }

    return {
      features: { server: [NS.commands] },
      handlers: [
        iqSet('host', NS.commands, 'command', (request) => execute('host', request)),
        iqSet('room', NS.commands, 'command', (request) => execute('room', request)),
        on(nodeAsked, describe),
        on(roomInfo, ({ features }) => void features.push(NS.commands)),
      ],
    };
  },
});

const actions: ReadonlySet<string> = new Set(['execute', 'complete', 'prev', 'next', 'cancel']);

const keyOf = (target: Target, node: string): string => `${target} ${node}`;

function identity(type: string, name: string): Element {
  return el('identity', NS.discoInfo, { category: 'automation', type, name });
}

function run(command: Command, request: IqRequest, form: Element | undefined): MaybePromise<CommandResult | void> {
  try {
    // 3.5: whatever type it has, it is a submission
    const result = command.run(request, form?.with({ type: 'submit' }));
    return isPromise(result) ? result.catch(explain) : result;
  } catch (error) {
    explain(error);
  }
}

/** 4.5: what is wrong with a form has a condition of its own. */
function explain(error: unknown): never {
  if (!(error instanceof StanzaError)) throw error;
  const { condition, text, extra } = error;
  const isPayload = extra === undefined && (condition === 'not-acceptable' || condition === 'bad-request');
  throw isPayload ? refused('bad-payload', text) : error;
}

function refused(why: string, text?: string): StanzaError {
  return new StanzaError('bad-request', text, { extra: el(why, NS.commands) });
}

/** 3.2: a session keeps its id, and gets one with the first answer. */
function answer({ attrs }: Element, status: string, ...parts: readonly Element[]): Element {
  const sessionid = attrs.sessionid || randomBytes(9).toString('base64url');
  return el('command', NS.commands, { node: attrs.node, sessionid, status, 'xml:lang': 'en' }, ...parts);
}

function partsOf({ note, form }: CommandResult): Element[] {
  return [
    ...(note === undefined ? [] : [el('note', NS.commands, { type: 'info' }, note)]),
    ...(form === undefined ? [] : [form]),
  ];
}
