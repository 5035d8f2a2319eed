import { afterEach, describe, expect, test } from 'vitest';
import type { StreamClient } from '../../kit/client.ts';
import { enter, TestFederation } from '../../kit/federation.ts';

let world = new TestFederation();
afterEach(async () => {
  await world.stop();
  world = new TestFederation();
});

/** The next stanza that a client gets, as text. */
async function heard(client: StreamClient, ms?: number): Promise<string> {
  const item = await client.next(ms);
  return item?.kind === 'element' ? item.element.toString() : String(item?.kind);
}

describe('two servers', () => {
  test('exchange messages in both directions, having called each other back', async () => {
    const verona = await world.add('verona.test');
    const mantua = await world.add('mantua.test');
    const romeo = await enter(verona, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    romeo.client.write("<message to='juliet@mantua.test/here' id='1'><body>Wherefore?</body></message>");
    expect(await heard(juliet.client)).toContain('<body>Wherefore?</body>');
    juliet.client.write("<message to='romeo@verona.test/here' id='2'><body>Deny thy father</body></message>");
    expect(await heard(romeo.client)).toContain('<body>Deny thy father</body>');
    expect(verona.errors).toEqual([]);
    expect(mantua.errors).toEqual([]);
    console.log(verona.server.federation(), mantua.server.federation());
    await romeo.client.destroy();
    await juliet.client.destroy();
  });
});
