// XEP-0050: Ad-Hoc Commands. Offers what modules declare as `commands`, at the domain and in rooms, to those who may run them.
//
// - 2.2: the commands of the domain are at one's own account as well: there clients of some servers look for them.
// - 2.3 MAY: nobody is sent the list unasked.
// - 3.3: one account may have several sessions of the same command; see sessions.ts. What needs no form, and what comes with its form at once, has
//   a session that is over when it begins.
// - 3.6 SHOULD: texts are in English, whatever language is asked for; they say so. To refuse whoever asks for another one with `bad-locale` would
//   keep them from the command.
// - 3.4.1: a form for which nothing has to be filled in may be submitted empty.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { type NodeAsked, nodeAsked } from '../../core/events.ts';
import type { Instance } from '../../core/host.ts';
import { type Command, type CommandResult, defineModule, type IqRequest, iqSet, on } from '../../core/module.ts';
import { ephemeral } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { roomInfo } from '../muc/hooks.ts';
import { CommandSessions, newSessionId, type SessionKey, type SessionRow } from './sessions.ts';
import { actionsAt, answeredBefore, meantBy, stagesOf } from './stages.ts';

type Target = Command['target'];

export default defineModule({
  xeps: ['XEP-0050 1.3.0'],
  summary: 'Offers what modules do by forms',
  hosts: ['users', 'rooms', 'pubsub', 'upload'],
  stores: { sessions: ephemeral<SessionRow>() },

  setup({ host, stores, clock }) {
    let made: { readonly of: readonly Instance[]; readonly all: ReadonlyMap<string, Command> } | undefined;
    const sessions = new CommandSessions(stores.sessions, () => clock.now());

    /** By target and node. The list of modules is replaced as a whole when it changes. */
    function commands(): ReadonlyMap<string, Command> {
      if (made?.of !== host.instances) {
        const all = host.instances.flatMap(({ installed }) => installed.commands ?? []);
        made = { of: host.instances, all: new Map(all.map((one) => [keyOf(one.target, one.node), one])) };
      }
      return made.all;
    }

    async function listed(target: Target, request: IqRequest): Promise<Element[]> {
      const jid = request.iq.to.full;
      const found: Element[] = [];
      for (const one of commands().values()) {
        if (one.target !== target || !(await one.mayRun(request))) continue;
        found.push(el('item', NS.discoItems, { jid, node: one.node, name: one.name }));
      }
      return found;
    }

    function describe(event: NodeAsked): MaybePromise<void> {
      const { node, request, what } = event;
      const target = placeOf(event);
      if (target === undefined) return;
      if (node === NS.commands) {
        if (what === 'info') event.answer = [identity('command-list', 'Commands')];
        else {
          return listed(target, request).then((items) => {
            event.answer = items;
          });
        }
        return;
      }
      const command = commands().get(keyOf(target, node));
      if (command === undefined) return;
      return andThen(command.mayRun(request), (may) => {
        // 2.2 SHOULD
        if (!may) event.answer = new StanzaError('forbidden', 'this command is not for you');
        else if (what === 'items') event.answer = [];
        else {
          const features = [NS.commands, NS.dataForms].map((name) => el('feature', NS.discoInfo, { var: name }));
          event.answer = [identity('command-node', command.name), ...features];
        }
      });
    }

    function execute(target: Target, request: IqRequest): MaybePromise<Element> {
      const { node = '', action = 'execute' } = request.payload.attrs;
      const command = commands().get(keyOf(target, node));
      if (command === undefined) throw new StanzaError('item-not-found', 'there is no such command');
      return andThen(command.mayRun(request), (may) => {
        if (!may) throw new StanzaError('forbidden', 'this command is not for you');
        if (!actions.has(action)) throw refused('malformed-action');
        const { sessionid } = request.payload.attrs;
        if (sessionid === undefined || sessionid === '') return begin(command, request);
        return goOn(command, request, sessionid);
      });
    }

    /** The first request of a session. Who knows the form already may fill it in at once. */
    function begin(command: Command, request: IqRequest): MaybePromise<Element> {
      const { payload } = request;
      const { action = 'execute' } = payload.attrs;
      const form = formOf(payload);
      if (action === 'cancel') return answer(payload, newSessionId(), 'canceled');
      if (action === 'prev' || action === 'next') throw refused('bad-action');
      if (command.form === undefined) return finish(command, request, newSessionId(), []);
      if (form !== undefined && command.further === undefined) {
        return finish(command, request, newSessionId(), [form]);
      }
      if (action === 'complete' && form === undefined) throw refused('bad-payload', 'the form has to be filled in');
      // what is filled in already of several forms is taken when it is submitted in the session
      return andThen(command.form(request), async (x) => {
        const id = await sessions.begin(keyFor(command, request));
        return answer(payload, id, 'executing', actionsAt(command, 0), x);
      });
    }

    async function goOn(command: Command, request: IqRequest, id: string): Promise<Element> {
      const { payload } = request;
      const key = keyFor(command, request);
      const answers = await sessions.answers(key, id);
      const stages = stagesOf(command);
      const at = answers.length;
      const meant = meantBy(command, at, payload.attrs.action ?? 'execute');
      if (meant === 'cancel') {
        await sessions.end(key, id);
        return answer(payload, id, 'canceled');
      }
      if (meant === 'prev') {
        if (at === 0) throw refused('bad-action', 'this is the first form');
        const before = answers.slice(0, at - 1);
        const form = await stages[at - 1]!.form(request, before);
        await sessions.keep(key, id, before);
        return answer(payload, id, 'executing', actionsAt(command, at - 1), answeredBefore(form, answers[at - 1]!));
      }
      const form = formOf(payload);
      if (form === undefined) throw refused('bad-payload', 'the form has to be filled in');
      const now = [...answers, form];
      if (meant === 'next') {
        const next = stages[at + 1];
        if (next === undefined) throw refused('bad-action', 'this is the last form');
        const x = await explained(() => next.form(request, now));
        await sessions.keep(key, id, now);
        return answer(payload, id, 'executing', actionsAt(command, at + 1), x);
      }
      if (!stages.slice(at + 1).every(({ optional }) => optional)) {
        throw refused('bad-action', 'there is more to be filled in');
      }
      const done = await finish(command, request, id, now);
      // what was refused may be corrected
      await sessions.end(key, id);
      return done;
    }

    return {
      features: { server: [NS.commands] },
      handlers: [
        iqSet(['host', 'self'], NS.commands, 'command', (request) => execute('host', request)),
        iqSet('room', NS.commands, 'command', (request) => execute('room', request)),
        on(nodeAsked, describe),
        on(roomInfo, ({ features }) => void features.push(NS.commands)),
      ],
    };
  },
});

const actions: ReadonlySet<string> = new Set(['execute', 'complete', 'prev', 'next', 'cancel']);

/** What the domain has is at the own account, too; there is nothing at anybody else's. */
function placeOf({ target, request: { iq } }: NodeAsked): Target | undefined {
  if (target !== 'account') return target;
  return iq.from.bare === iq.to.bare ? 'host' : undefined;
}

const keyOf = (target: Target, node: string): string => `${target} ${node}`;

const keyFor = ({ node }: Command, { iq }: IqRequest): SessionKey => ({ asker: iq.from, at: iq.to, node });

function identity(type: string, name: string): Element {
  return el('identity', NS.discoInfo, { category: 'automation', type, name });
}

/** 3.4.1: whatever type it has, it is a submission. */
function formOf(payload: Element): Element | undefined {
  return payload.getChild('x', NS.dataForms)?.with({ type: 'submit' });
}

function finish(command: Command, request: IqRequest, id: string, answers: readonly Element[]): MaybePromise<Element> {
  const done = explained(() => command.run(request, answers.at(-1), answers));
  return andThen(done, (result) => answer(request.payload, id, 'completed', ...partsOf(result ?? {})));
}

function explained<T>(work: () => MaybePromise<T>): MaybePromise<T> {
  try {
    const result = work();
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

function answer({ attrs }: Element, sessionid: string, status: string, ...parts: readonly Element[]): Element {
  return el('command', NS.commands, { node: attrs.node, sessionid, status, 'xml:lang': 'en' }, ...parts);
}

function partsOf({ note, form }: CommandResult): Element[] {
  const notes = typeof note === 'string' ? [{ type: 'info', text: note }] : (note ?? []);
  return [
    ...notes.map(({ type, text }) => el('note', NS.commands, { type }, text)),
    ...(form === undefined ? [] : [form]),
  ];
}
