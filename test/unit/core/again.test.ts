// Messages that come back (XEP-0198 4): twice, while a module still thinks about them; while nobody can tell who is there.
import { expect, test } from 'vitest';
import type { Cluster, Directory, NodeId } from '../../../src/cluster/cluster.ts';
import { createSolo } from '../../../src/cluster/solo.ts';
import { AccountDelivery } from '../../../src/core/account.ts';
import { messageIn } from '../../../src/core/events.ts';
import type { Host } from '../../../src/core/host.ts';
import { Sessions } from '../../../src/core/sessions.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { el } from '../../../src/xml/element.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { messageOf } from '../../../src/xmpp/stanza.ts';
import { FakeClock, turn } from '../../kit/clock.ts';

const juliet = Jid.of('juliet', 'verona.test', 'balcony');
const romeo = Jid.of('romeo', 'verona.test');

test('is kept once, where the one who had a copy gives it back as well', async () => {
  const cluster = createSolo();
  const clock = new FakeClock();
  const asked: (() => void)[] = [];
  let kept = 0;
  const host = {
    domain: 'verona.test',
    gate: (hook: unknown) => {
      if (hook === messageIn) return new Promise<undefined>((resolve) => asked.push(() => resolve(undefined)));
      kept++;
      return 'handled';
    },
  } as unknown as Host;
  const delivery = new AccountDelivery(cluster, new Sessions(cluster, clock), clock, {
    answerIq() {},
    missed() {},
    refuse() {},
  });
  const [reader, copied] = [`reader.${cluster.self}`, `copied.${cluster.self}`];
  const jid = Jid.of('romeo', 'verona.test', 'orchard');
  void cluster.directory.put({ jid, node: cluster.self, sid: copied, available: true, priority: -1, shared: {} });
  const reach = { home: `home.${cluster.self}`, id: 1, to: [reader], copied: [copied], back: [] };
  const message = messageOf(el('message', null, { type: 'chat' }, el('body', null, undefined, 'x')), juliet, romeo);
  const first = delivery.takeBack(host, { ...message, reach }, reader);
  // somebody has a copy of it yet
  const second = delivery.takeBack(host, { ...message, reach }, copied);
  expect(asked).toHaveLength(2);
  for (const answer of asked) answer();
  await Promise.all([first, second]);
  await turn();
  expect(kept).toBe(1);
});

test.each(['followed', 'taken back'])(
  'a message that is %s while Redis is away is not refused, but kept when it is back',
  async (how) => {
    const cluster = createSolo();
    const clock = new FakeClock();
    let isAway = true;
    let kept = 0;
    const refused: unknown[] = [];
    const directory: Directory = {
      sessions: () => (isAway ? Promise.reject(new StorageUnavailable('Redis is away')) : []),
      put() {},
      drop() {},
      release() {},
    } as unknown as Directory;
    const host = {
      domain: 'verona.test',
      gate: (hook: unknown) => {
        if (hook === messageIn) return undefined;
        kept++;
        return 'handled';
      },
    } as unknown as Host;
    const away = Object.assign(Object.create(cluster) as Cluster, { directory });
    const delivery = new AccountDelivery(away, new Sessions(away, clock), clock, {
      answerIq() {},
      missed() {},
      refuse: (_stanza, error) => void refused.push(error),
    });
    const message = messageOf(el('message', null, { type: 'chat' }, el('body', null, undefined, 'x')), juliet, romeo);
    const node = 'dead' as NodeId;
    const work = Promise.resolve(
      how === 'followed'
        ? delivery.follow(host, message, { jid: 'romeo@verona.test/orchard', sid: 'reader.dead' }, node)
        : delivery.takeBack(host, message, 'reader.dead'),
    ).catch((error: unknown) => void refused.push(error));
    await clock.advance(5_000);
    expect(refused).toEqual([]);
    expect(kept).toBe(0);
    isAway = false;
    await clock.advance(1_000);
    await work;
    expect(kept).toBe(1);
    expect(refused).toEqual([]);
  },
);
