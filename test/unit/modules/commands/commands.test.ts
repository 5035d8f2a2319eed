// Commands of several forms (XEP-0050 2.4.2, 3.4), by a module made for it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/load.ts';
import { type CommandStage, defineModule } from '../../../../src/core/module.ts';
import { loadModules } from '../../../../src/index.ts';
import { MOST_SESSIONS } from '../../../../src/modules/commands/sessions.ts';
import type { Server } from '../../../../src/server.ts';
import { formElement, readForm, textField } from '../../../../src/xmpp/dataform.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { Commander } from '../../../kit/commander.ts';
import { startServer } from '../../../kit/test-server.ts';

const formOf = (name: string) => ({ title: name, fields: { [name]: textField(name, { required: true }) } });
const stage = (name: string, optional = false): CommandStage => ({
  optional,
  form: (_, answers) => {
    if (JSON.stringify(answers.map((one) => one.toXml())).includes('bad'))
      throw new StanzaError('not-acceptable', 'no');
    return formElement(formOf(name));
  },
});
const wizard = defineModule({
  xeps: [],
  summary: 'asks for much',
  setup: () => ({
    commands: [
      {
        target: 'host',
        node: 'wizard',
        name: 'Wizard',
        mayRun: () => true,
        form: () => formElement(formOf('one')),
        further: [stage('two'), stage('three', true)],
        run(_request, submitted, answers) {
          const values = answers.map((answer, i) => readForm(formOf(['one', 'two', 'three'][i]!), answer));
          if (JSON.stringify(values).includes('fail')) return { note: [{ type: 'error', text: 'it failed' }] };
          const all = Object.assign({}, ...values) as Record<string, string>;
          return {
            note: [
              { type: 'info', text: `${Object.values(all).join(' ')}` },
              { type: 'warn', text: submitted === answers.at(-1) ? 'the last' : 'another' },
            ],
          };
        },
      },
    ],
  }),
});

let server: Server;
let romeo: Commander;
beforeAll(async () => {
  const modules = new Map(await loadModules(parseConfig({ database: 'memory' })));
  modules.set('wizard', wizard);
  server = await startServer({ hosts: { 'verona.test': {} } }, { modules });
  await server.hosts.get('verona.test')!.accounts.create('romeo', 'secret');
  romeo = await Commander.logIn(server.address('c2s')!, 'verona.test', 'romeo');
});
afterAll(async () => {
  await romeo.client.destroy();
  await server.stop();
});

const begin = async (): Promise<string> => (await romeo.run('wizard')).session!;

describe('a command of several forms', () => {
  test('says at each what may be done', async () => {
    const first = await romeo.run('wizard');
    expect(first).toMatchObject({ status: 'executing', actions: ['next'], usual: 'next', values: { one: [] } });
    const { session } = first;
    const second = await romeo.run('wizard', { session, action: 'next', fields: { one: '1' } });
    expect(second).toMatchObject({
      status: 'executing',
      actions: ['prev', 'next', 'complete'],
      usual: 'next',
      session,
    });
    // "execute" is what is usual
    const third = await romeo.run('wizard', { session, fields: { two: '2' } });
    expect(third).toMatchObject({ status: 'executing', actions: ['prev', 'complete'], usual: 'complete' });
    const done = await romeo.run('wizard', { session, fields: { three: '3' } });
    expect(done).toMatchObject({
      status: 'completed',
      session,
      notes: [
        ['info', '1 2 3'],
        ['warn', 'the last'],
      ],
    });
    expect(await romeo.run('wizard', { session })).toMatchObject({
      refused: ['not-allowed', 'text', 'session-expired'],
    });
  });

  test('is complete before what is optional', async () => {
    const session = await begin();
    expect(await romeo.run('wizard', { session, action: 'complete', fields: { one: '1' } })).toMatchObject({
      refused: ['bad-request', 'text', 'bad-action'],
    });
    await romeo.run('wizard', { session, action: 'next', fields: { one: '1' } });
    const done = await romeo.run('wizard', { session, action: 'complete', fields: { two: '2' } });
    expect(done).toMatchObject({
      status: 'completed',
      notes: [
        ['info', '1 2'],
        ['warn', 'the last'],
      ],
    });
  });

  test('goes back to what was filled in, and on from there', async () => {
    const session = await begin();
    expect(await romeo.run('wizard', { session, action: 'prev' })).toMatchObject({
      refused: ['bad-request', 'text', 'bad-action'],
    });
    await romeo.run('wizard', { session, action: 'next', fields: { one: 'x' } });
    await romeo.run('wizard', { session, action: 'next', fields: { two: 'y' } });
    expect(await romeo.run('wizard', { session, action: 'prev' })).toMatchObject({ values: { two: ['y'] } });
    expect(await romeo.run('wizard', { session, action: 'prev' })).toMatchObject({ values: { one: ['x'] } });
    await romeo.run('wizard', { session, action: 'next', fields: { one: 'z' } });
    const done = await romeo.run('wizard', { session, action: 'complete', fields: { two: 'w' } });
    expect(done.notes[0]).toEqual(['info', 'z w']);
  });

  test('stays where it is when an answer is refused', async () => {
    const session = await begin();
    const refused = await romeo.run('wizard', { session, action: 'next', fields: { one: 'bad' } });
    expect(refused).toMatchObject({ type: 'error', refused: ['bad-request', 'text', 'bad-payload'] });
    expect(await romeo.run('wizard', { session, action: 'next' })).toMatchObject({
      refused: ['bad-request', 'text', 'bad-payload'],
    });
    expect(await romeo.run('wizard', { session, action: 'next', fields: { one: 'good' } })).toMatchObject({
      status: 'executing',
      actions: ['prev', 'next', 'complete'],
    });
    expect(await romeo.run('wizard', { session, action: 'cancel' })).toMatchObject({ status: 'canceled' });
  });

  test('that is done and has failed says so', async () => {
    const session = await begin();
    await romeo.run('wizard', { session, fields: { one: '1' } });
    expect(await romeo.run('wizard', { session, action: 'complete', fields: { two: 'fail' } })).toMatchObject({
      status: 'completed',
      notes: [['error', 'it failed']],
    });
  });

  test('is not begun with an action that needs a session', async () => {
    for (const action of ['next', 'prev']) {
      expect((await romeo.run('wizard', { action })).refused).toContain('bad-action');
    }
    expect((await romeo.run('wizard', { action: 'complete' })).refused).toContain('bad-payload');
    expect(await romeo.run('wizard', { action: 'cancel' })).toMatchObject({ status: 'canceled' });
  });

  test('has so many sessions of one account, and the oldest goes', async () => {
    const first = await begin();
    const others = [];
    for (let i = 0; i < MOST_SESSIONS; i++) others.push(await begin());
    expect((await romeo.run('wizard', { session: first, action: 'cancel' })).refused).toContain('session-expired');
    for (const session of others) {
      expect(await romeo.run('wizard', { session, action: 'cancel' })).toMatchObject({ status: 'canceled' });
    }
  });
});
