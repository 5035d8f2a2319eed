// Whose stanzas are taken from a stream that stays while settings change.
import { expect, test } from 'vitest';
import { silent } from '../../../src/base/log.ts';
import type { S2sContext } from '../../../src/s2s/context.ts';
import { Intake } from '../../../src/s2s/intake.ts';
import { el } from '../../../src/xml/element.ts';

test('nobody speaks for a domain that is served here since, though it was proved before', () => {
  const served = new Set(['verona.test']);
  let generation = 0;
  const taken: string[] = [];
  const context = {
    serves: (domain: string) => served.has(domain),
    settings: (domain: string) =>
      served.has(domain) ? { mayTalkTo: () => true, requireValidCertificates: false } : undefined,
    get generation() {
      return generation;
    },
    stanza: () => {},
    log: silent,
    router: { fromServer: ({ attrs }: { attrs: { id: string } }) => void taken.push(attrs.id) },
  } as unknown as S2sContext;
  const intake = new Intake(context, () => {});
  intake.authorise('pubsub.verona.test', 'dialback');
  const say = (id: string) =>
    intake.take(el('message', null, { id, from: 'pubsub.verona.test', to: 'romeo@verona.test' }), 100);
  void say('before');
  served.add('pubsub.verona.test');
  generation++;
  expect(() => say('after')).toThrow('invalid-from');
  expect(taken).toEqual(['before']);
});
