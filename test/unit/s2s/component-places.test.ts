// One component, several nodes: it is connected to one of them, and there for the people of all.
import { afterEach, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { createNodes, type Nodes } from '../../kit/cluster-pair.ts';
import { connectComponent } from '../../kit/component.ts';
import { enter } from '../../kit/federation.ts';
import { told } from '../../kit/server-peer.ts';
import { mergeSettings, TestServer } from '../../kit/test-server.ts';

const gateway = 'irc.verona.test';
const base: ConfigInput = {
  hosts: { 'verona.test': {} },
  components: { [gateway]: { secret: 'sesame' } },
  listen: { component: 0 },
};

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

interface Stage {
  readonly servers: readonly TestServer[];
  readonly nodes: Nodes;
  readonly clock: FakeClock;
  settle(): Promise<void>;
}

async function start(more: ConfigInput = {}, names = ['one', 'two', 'three']): Promise<Stage> {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const nodes = createNodes(names);
  const servers: TestServer[] = [];
  for (const cluster of nodes.clusters) {
    const server = await TestServer.start(mergeSettings(base, more), { clock, cluster, driver });
    servers.push(server);
    ended.push(() => server.stop());
  }
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await nodes.idle();
    }
  };
  return { servers, nodes, clock, settle };
}

async function join(server: TestServer | undefined): Promise<StreamClient> {
  const client = await connectComponent(server!.addressOf('component'), gateway, 'sesame');
  ended.push(() => client.destroy());
  return client;
}

async function person(server: TestServer | undefined, name: string) {
  const entered = await enter(server!, `${name}@verona.test`);
  ended.push(() => entered.client.destroy());
  return entered;
}

const heard = async (client: StreamClient): Promise<string> => told(await client.next());
const say = (client: StreamClient, body: string): void =>
  client.write(`<message to='room@${gateway}' type='chat' id='${body}'><body>${body}</body></message>`);

describe('a component that is connected to another node', () => {
  test('is there for everybody, in order, and answers', async () => {
    const { servers, settle } = await start();
    const component = await join(servers[1]);
    await settle();
    const { client } = await person(servers[0], 'romeo');
    for (let i = 0; i < 20; i++) say(client, `m${i}`);
    for (let i = 0; i < 20; i++) expect(await heard(component)).toContain(`<body>m${i}</body>`);
    component.write(`<message from='room@${gateway}' to='romeo@verona.test/here' id='back'><body>Hi</body></message>`);
    expect(await heard(client)).toContain('id="back"');
  });

  test('is not there any more when it, or its node, is gone; and again where it comes back', async () => {
    const { servers, settle, nodes } = await start();
    const { client } = await person(servers[0], 'romeo');
    const first = await join(servers[1]);
    await settle();
    await first.destroy();
    await settle();
    say(client, 'nobody');
    expect(await heard(client)).toContain('<remote-server-timeout');

    const second = await join(servers[2]);
    await settle();
    say(client, 'second');
    expect(await heard(second)).toContain('second');
    nodes.kill(nodes.clusters[2]!.self);
    await settle();
    say(client, 'dead');
    expect(await heard(client)).toContain('<remote-server-timeout');

    const third = await join(servers[1]);
    await settle();
    say(client, 'third');
    expect(await heard(third)).toContain('third');
  });

  test('whose word was lost on the way is found within a minute', async () => {
    const { servers, settle, clock, nodes } = await start({}, ['one', 'two']);
    // (a third node would hear the same)
    const { client } = await person(servers[0], 'romeo');
    const publish = nodes.clusters[1]!.publish;
    nodes.clusters[1]!.publish = () => {};
    const component = await join(servers[1]);
    nodes.clusters[1]!.publish = publish;
    await settle();
    say(client, 'early');
    expect(await heard(client)).toContain('<remote-server-timeout');
    await clock.advance(60_000);
    await settle();
    say(client, 'later');
    expect(await heard(component)).toContain('later');
  });
});

describe('the same component at several nodes', () => {
  test('is the one that came last', async () => {
    const { servers, settle, clock } = await start();
    const first = await join(servers[1]);
    await settle();
    await clock.advance(1000);
    const second = await join(servers[2]);
    await settle();
    expect(await heard(first)).toContain('<conflict');
    const { client } = await person(servers[0], 'romeo');
    say(client, 'hello');
    expect(await heard(second)).toContain('hello');
  });

  test('of two that come at the same moment one stays', async () => {
    const { servers, settle, nodes } = await start();
    nodes.hold(true);
    const both = [await join(servers[1]), await join(servers[2])];
    nodes.hold(false);
    await settle();
    const { client } = await person(servers[0], 'romeo');
    say(client, 'hello');
    await settle();
    const said = await Promise.all(both.map((one) => one.next(200)));
    expect(said.map((item) => told(item)).filter((text) => text.includes('hello'))).toHaveLength(1);
    expect(said.map((item) => told(item)).filter((text) => text.includes('conflict'))).toHaveLength(1);
  });

  test('stays at all of them where that is wanted, and each has its people', async () => {
    const { servers, settle } = await start({ components: { [gateway]: { secret: 'sesame', connections: 'many' } } });
    const places = [await join(servers[1]), await join(servers[2]), await join(servers[2])];
    await settle();
    const names = Array.from({ length: 24 }, (_, i) => `person${i}`);
    for (const [i, name] of names.entries()) {
      const { client } = await person(servers[i % 3], name);
      say(client, `${name}-a`);
      say(client, `${name}-b`);
      await settle();
    }
    const texts = places.map(({ inbox }) => inbox.flatMap((item) => /person\d+-[ab]/.exec(told(item))?.[0] ?? []));
    expect(texts.flat()).toHaveLength(48);
    for (const list of texts) {
      expect(list.length).toBeGreaterThan(0);
      for (const [at, text] of list.entries()) if (at % 2 === 1) expect(text).toBe(list[at - 1]!.replace('-a', '-b'));
    }
  });
});

test('an answer that comes to another node is brought to the one that asked', async () => {
  const { servers, settle } = await start({
    components: { [gateway]: { secret: 'sesame', delegate: [{ namespace: 'urn:example:x' }] } },
  });
  const component = await join(servers[1]);
  await settle();
  component.inbox.length = 0;
  const { client } = await person(servers[0], 'romeo');
  client.write(`<iq type='get' id='q' to='verona.test'><query xmlns='urn:example:x'/></iq>`);
  const question = await heard(component);
  const id = / id="([^"]+)"/.exec(question)?.[1];
  expect(id).toMatch(/^one:/);
  // as when it was connected anew meanwhile, elsewhere
  const elsewhere = await join(servers[2]);
  const inner = `<iq xmlns='jabber:client' type='result' id='q' to='${/from="(romeo[^"]+)"/.exec(question)?.[1]}'><query xmlns='urn:example:x'>yes</query></iq>`;
  elsewhere.write(
    `<iq type='result' id='${id}' from='${gateway}' to='verona.test'><delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>${inner}</forwarded></delegation></iq>`,
  );
  expect(await heard(client)).toContain('yes');
});

test('what a component was asked has failed at once, for all nodes, when it is gone', async () => {
  const { servers, settle } = await start({
    components: { [gateway]: { secret: 'sesame', delegate: [{ namespace: 'urn:example:x' }] } },
  });
  const component = await join(servers[1]);
  await settle();
  const { client } = await person(servers[0], 'romeo');
  client.write(`<iq type='get' id='q' to='verona.test'><query xmlns='urn:example:x'/></iq>`);
  await settle();
  await component.destroy();
  expect(await heard(client)).toContain('<service-unavailable');
});
