// The administration of files that people have sent.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminCommands } from '../../src/core/admin-commands.ts';
import { CommandError, runCommand } from '../../src/core/commands.ts';
import { uploads } from '../../src/modules/upload/service.ts';
import type { Server } from '../../src/server.ts';
import { startServer } from '../kit/test-server.ts';
import { http, Sender } from '../kit/uploads.ts';

const domain = 'localhost';
const folder = mkdtempSync(join(tmpdir(), 'parley-uploads-'));
let server: Server;
let romeo: Sender;

beforeAll(async () => {
  server = await startServer({
    hosts: { [domain]: {}, 'b.test': { upload: { enabled: false } } },
    upload: { folder },
    listen: { c2s: 0, http: 0 },
  });
  await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
  romeo = await Sender.enter(server.address('c2s')!, { user: 'romeo', password: 'secret', domain });
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function run(name: string, args: object) {
  const command = adminCommands.find((one) => one.name === name)!;
  const result = await runCommand(command, server.admin, args);
  return { result, text: command.render(result) };
}
const refusal = (name: string, args: object): Promise<string> =>
  run(name, args).then(
    () => 'done',
    (error: unknown) => (error instanceof CommandError ? error.code : 'failed'),
  );

test('files are counted, listed and deleted, one or all of an account', async () => {
  expect((await run('upload usage', {})).text).toBe('there are no files');
  expect((await run('upload ls', { jid: `romeo@${domain}` })).text).toBe('there are no files');
  const [one, two] = [
    await romeo.send('0123456789', { name: 'one.txt' }),
    await romeo.send('01234', { name: 'two.txt' }),
  ];
  await romeo.slot({ size: 1000 });
  expect((await run('upload usage', { domain })).result).toEqual({
    accounts: [{ jid: `romeo@${domain}`, files: 2, bytes: 15 }],
    bytes: 15,
  });
  const { result, text } = await run('upload ls', { jid: `romeo@${domain}` });
  expect(result).toMatchObject({
    files: [
      { name: 'one.txt', bytes: 10, url: one },
      { name: 'two.txt', url: two },
    ],
  });
  expect(text).toContain(one);
  expect((await run('upload rm', { file: one })).text).toBe(`the file of romeo@${domain} is gone`);
  expect((await http('GET', one)).status).toBe(404);
  expect(await refusal('upload rm', { file: one })).toBe('not-found');
  expect((await run('upload purge', { jid: `romeo@${domain}` })).text).toBe(`1 file of romeo@${domain} deleted`);
  expect((await http('GET', two)).status).toBe(404);
});

test('what is not there is not found', async () => {
  expect(await refusal('upload rm', { file: 'https://elsewhere.example/a.png' })).toBe('not-found');
  expect(await refusal('upload ls', { jid: 'romeo@b.test' })).toBe('not-found');
  expect(await refusal('upload usage', { domain: 'nowhere.test' })).toBe('not-found');
  expect(server.hosts.get('upload.b.test')?.find(uploads)).toBeUndefined();
});
