// A command that waits for a server: it may take long, but a frozen server is told.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { connectAdmin } from '../../../src/cli/admin-client.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley-admin-'));
let server: Server | undefined;

afterEach(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

it('fails a command of a server that answers nothing, and waits for one that is at work', async () => {
  const path = join(folder, 'admin.sock');
  const sockets: Socket[] = [];
  let frozen = false;
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (line) => {
      if (!frozen && String(line) === '?\n') socket.write('{"id":null,"ok":false,"error":{"code":"bad-request"}}\n');
    });
  });
  await new Promise<void>((done) => server?.listen(path, done));
  const client = await connectAdmin(path, 50);
  let failure: Error | undefined;
  const ended = client?.run('archive purge', {}).catch((error: Error) => {
    failure = error;
  });
  await new Promise((done) => setTimeout(done, 300));
  expect(failure).toBeUndefined();
  frozen = true;
  await ended;
  expect(failure?.message).toContain('frozen or very busy');
  client?.close();
  for (const socket of sockets) socket.destroy();
});
