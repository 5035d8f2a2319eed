// What the server has announced of itself can be asked for by its hash, also when it announces something else (XEP-0390 6.1).
import { expect, test } from 'vitest';
import type { Server } from '../../../../src/server.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { capsVer } from '../../../../src/xmpp/caps.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { StreamClient } from '../../../kit/client.ts';
import { authenticate, bind, openStream } from '../../../kit/login.ts';
import { startServer, testConfig } from '../../../kit/test-server.ts';

const domain = 'verona.test';
const settings = (contact: string) => ({ hosts: { [domain]: { contacts: { admin: [contact] } } } });

/** The node that a new client is told of, and what the server answers when it is asked for one. */
async function look(server: Server, node?: string): Promise<{ readonly told: string; readonly answer: string }> {
  const client = await StreamClient.connect(server.address('c2s')!);
  try {
    await openStream(client, domain);
    await authenticate(client, { user: 'romeo', password: 'secret' });
    const c = (await openStream(client, domain)).getChild('c', NS.caps)!.attrs;
    const told = `${c.node}#${c.ver}`;
    await bind(client);
    client.write(`<iq type='get' id='q' to='${domain}'><query xmlns='${NS.discoInfo}' node='${node ?? told}'/></iq>`);
    const item = await client.next();
    return {
      told,
      answer: item?.kind === 'element' ? (item.element.getChild('query', NS.discoInfo)?.toString() ?? '') : '',
    };
  } finally {
    await client.destroy();
  }
}

test('the hash of what was announced before is still answered for, as it was', async () => {
  const server = await startServer(settings('xmpp:old@verona.test'));
  try {
    await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
    const before = await look(server);
    await server.reload(testConfig(settings('xmpp:new@verona.test')));
    const after = await look(server, before.told);
    expect(after.told).not.toBe(before.told);
    expect(after.answer).toContain('old@verona.test');
    expect(before.told.endsWith(`#${capsVer(parseElement(after.answer))}`)).toBe(true);
    expect((await look(server)).answer).toContain('new@verona.test');
    // what was never announced is no node
    expect((await look(server, `${before.told}x`)).answer).not.toContain('verona.test');
  } finally {
    await server.stop();
  }
});
