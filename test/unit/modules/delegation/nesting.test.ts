// What service discovery tells of delegated namespaces, where scenarios do not reach: answers that come late, and other nodes.
import { afterEach, expect, test } from 'vitest';
import type { Logger } from '../../../../src/base/log.ts';
import type { Cluster } from '../../../../src/cluster/cluster.ts';
import type { Grant } from '../../../../src/config/components.ts';
import type { Host } from '../../../../src/core/host.ts';
import type { Router } from '../../../../src/core/router.ts';
import { Nesting } from '../../../../src/modules/delegation/nesting.ts';
import { el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { errorReply, type Iq, iqResult, stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { turn } from '../../../kit/clock.ts';
import { createNodes } from '../../../kit/cluster-pair.ts';

const component = Jid.parse('pubsub.verona.test')!;
const host = Jid.parse('verona.test')!;
const namespace = 'urn:example:x';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

interface Question {
  readonly iq: Iq;
  readonly node: string;
  answer(feature: string): void;
  fail(): void;
}

function create(cluster: Cluster = createNodes(['one']).clusters[0]!) {
  const questions: Question[] = [];
  const ending = new AbortController();
  const grant = { component, delegations: [{ namespace, attributes: [] }] } as unknown as Grant;
  const router = {
    request: (_host: Host, make: (id: string) => Iq) =>
      new Promise<Iq>((resolve) => {
        const iq = make(`q${questions.length}`);
        questions.push({
          iq,
          node: iq.payload?.attrs.node ?? '',
          answer: (feature) =>
            resolve(iqResult(iq, el('query', NS.discoInfo, undefined, el('feature', NS.discoInfo, { var: feature })))),
          fail: () => {
            const error = errorReply(iq.el, iq.to.full, iq.from.full, new StanzaError('remote-server-timeout'));
            resolve(stanzaOf(error!, iq.to, iq.from) as Iq);
          },
        });
      }),
  } as unknown as Router;
  const nesting = new Nesting({
    host: { domain: host.domain, jid: host, grants: new Map([[component.domain, grant]]) } as unknown as Host,
    router,
    cluster,
    background: () => {},
    signal: ending.signal,
    log: { debug: () => {}, warn: () => {} } as unknown as Logger,
  });
  ends.push(nesting.listen());
  const features = (kind: 'server' | 'account') => nesting.nested[kind].map(({ attrs }) => attrs.var);
  return { nesting, questions, ending, features };
}

test('a component is asked for what it wants told of the server and of accounts', async () => {
  const { nesting, questions, features } = create();
  nesting.ask(component);
  expect(questions.map(({ node }) => node)).toEqual([
    `${NS.delegation}::${namespace}`,
    `${NS.delegation}:bare:${namespace}`,
  ]);
  questions[0]?.answer('server');
  questions[1]?.answer('account');
  await turn();
  expect([features('server'), features('account')]).toEqual([['server'], ['account']]);
  expect(nesting.nested.namespaces).toEqual([namespace]);
});

test('a component that answers nothing has nothing told', async () => {
  const { nesting, questions, features } = create();
  nesting.ask(component);
  for (const question of questions) question.fail();
  await turn();
  expect([features('server'), features('account')]).toEqual([[], []]);
});

test('what an old connection did not answer does not undo what the new one has said', async () => {
  const { nesting, questions, features } = create();
  nesting.ask(component);
  nesting.ask(component);
  questions[2]?.answer('new');
  questions[3]?.answer('new');
  await turn();
  questions[0]?.fail();
  questions[1]?.answer('old');
  await turn();
  expect([features('server'), features('account')]).toEqual([['new'], ['new']]);
});

test('an answer of a component that has gone is not told', async () => {
  const { nesting, questions, features } = create();
  nesting.ask(component);
  nesting.forget(component);
  for (const question of questions) question.answer('late');
  await turn();
  expect(features('server')).toEqual([]);
});

test('the other nodes hear of it, also those that come later, and that it is gone', async () => {
  const nodes = createNodes();
  const [here, there] = nodes.clusters;
  const one = create(here!);
  one.nesting.ask(component);
  for (const question of one.questions) question.answer('x');
  await turn();
  const two = create(there!);
  await nodes.idle();
  expect([two.features('server'), two.features('account')]).toEqual([['x'], ['x']]);
  // what another node holds is not this one's to forget
  two.nesting.forget(component);
  await nodes.idle();
  expect([one.features('server'), two.features('server')]).toEqual([['x'], ['x']]);
  one.nesting.forget(component);
  await nodes.idle();
  expect([one.features('server'), two.features('server')]).toEqual([[], []]);
});

test('a component that goes over to another node is forgotten by the old one alone', async () => {
  const nodes = createNodes();
  const [here, there] = nodes.clusters;
  const [one, two] = [create(here!), create(there!)];
  one.nesting.ask(component);
  for (const question of one.questions) question.answer('x');
  await turn();
  await nodes.idle();
  two.nesting.ask(component);
  for (const question of two.questions) question.answer('y');
  await turn();
  await nodes.idle();
  one.nesting.forget(component);
  await nodes.idle();
  expect([one.features('server'), two.features('server')]).toEqual([['y'], ['y']]);
});

test('what a node told that died is not told any more', async () => {
  const nodes = createNodes();
  const [here, there] = nodes.clusters;
  const one = create(here!);
  const two = create(there!);
  one.nesting.ask(component);
  for (const question of one.questions) question.answer('x');
  await turn();
  await nodes.idle();
  expect(two.features('server')).toEqual(['x']);
  nodes.kill(here!.self);
  await turn();
  expect(two.features('server')).toEqual([]);
});

test('settings that hold no more tell the other nodes nothing', async () => {
  const nodes = createNodes();
  const [here, there] = nodes.clusters;
  const old = create(here!);
  const fresh = create(here!);
  const other = create(there!);
  old.nesting.ask(component);
  fresh.nesting.ask(component);
  for (const question of fresh.questions) question.answer('x');
  await turn();
  await nodes.idle();
  expect(other.features('server')).toEqual(['x']);
  old.ending.abort();
  for (const question of old.questions) question.fail();
  await turn();
  await nodes.idle();
  expect([fresh.features('server'), other.features('server')]).toEqual([['x'], ['x']]);
});
