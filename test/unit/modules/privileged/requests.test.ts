// Requests in the name of accounts that wait for their answers: how many there may be.
import { expect, test } from 'vitest';
import { connectComponent } from '../../../kit/component.ts';
import { enter } from '../../../kit/federation.ts';
import { told } from '../../../kit/server-peer.ts';
import { TestServer } from '../../../kit/test-server.ts';

const namespace = 'urn:example:x';

test('a component is refused more than may wait, and the rest are answered', async () => {
  await using server = await TestServer.start({
    hosts: { 'verona.test': {} },
    components: { c: { secret: 'sesame', privileges: { iq: [{ namespace, type: 'get' }] } } },
    listen: { component: 0 },
  });
  const { client: romeo, jid } = await enter(server, 'romeo@verona.test');
  const component = await connectComponent(server.addressOf('component'), 'c', 'sesame');
  try {
    expect(told(await component.next())).toContain('<perm access="iq">');
    const request = (id: number): string =>
      `<iq type='get' id='p${id}' from='c' to='romeo@verona.test'><privileged_iq xmlns='urn:xmpp:privilege:2'>` +
      `<iq xmlns='jabber:client' type='get' id='x${id}' to='${jid}'><query xmlns='${namespace}'/></iq></privileged_iq></iq>`;
    component.write(Array.from({ length: 10_001 }, (_, i) => request(i)).join(''));
    expect(told(await component.next(20_000))).toMatch(/type="error".*id="p10000"|id="p10000".*type="error"/);
    const first = /id="([^"]+)"/.exec(told(await romeo.next()))?.[1];
    romeo.write(`<iq type='result' id='${first}' to='romeo@verona.test'/>`);
    expect(told(await component.next())).toContain('id="p0"');
  } finally {
    await component.destroy();
    await romeo.destroy();
  }
}, 60_000);
