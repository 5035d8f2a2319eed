import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { createServer } from '../../../src/index.ts';

it('streams that end with an error are counted, whoever finds the error, and each once', async () => {
  await using server = await createServer({
    hosts: { 't.test': {} },
    database: 'memory',
    listen: { address: ['127.0.0.1'], c2s: 0, http: 0 },
  });
  const say = async (text: string): Promise<void> => {
    const socket = connect(server.address('c2s').port, '127.0.0.1').resume();
    socket.end(text);
    await once(socket, 'close');
  };
  const header =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to=";
  await say('<garbage');
  await say(`${header}'t.test'><!-- comment -->`);
  await say(`${header}'elsewhere.test'>`);
  await say(`${header}'t.test'></stream:stream>`);
  const metrics = await (await fetch(`http://127.0.0.1:${server.address('http').port}/metrics`)).text();
  expect(/^parley_c2s_stream_errors_total (\d+)$/m.exec(metrics)?.[1]).toBe('2');
});
