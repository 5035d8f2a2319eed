// Files that do not come to their end, disks that are full, nodes that do not have the same folder: nobody is told that a file is there
// which is not, and nothing is left of what was cut short.
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import type { ConfigInput } from '../../src/config/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { FakeClock, turn } from '../kit/clock.ts';
import { createNodes } from '../kit/cluster-pair.ts';
import { TestServer, type TestServerOptions } from '../kit/test-server.ts';
import { answerTo, http, open, Sender } from '../kit/uploads.ts';

const domain = 'localhost';
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'parley-uploads-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function start(upload: ConfigInput['upload'], options: TestServerOptions = {}): Promise<TestServer> {
  const server = await TestServer.start({ hosts: { [domain]: {} }, upload, listen: { c2s: 0, http: 0 } }, options);
  cleanups.push(() => server.stop());
  return server;
}

/** What there is of files, whole or not. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name);

/** Begins an upload, and sends a part of it. */
async function begin(put: string, size: number, part: Buffer) {
  const request = open('PUT', put, { 'content-length': String(size) });
  request.on('error', () => {});
  request.write(part);
  await vi.waitFor(() => expect(request.socket?.bytesWritten ?? 0).toBeGreaterThan(part.length));
  return request;
}

test('a client that vanishes leaves nothing, and its slot can be used again', async () => {
  const folder = newFolder();
  const server = await start({ folder });
  const romeo = await Sender.come(server, 'romeo', domain);
  const slot = await romeo.slot({ size: 1_000_000 });
  const request = await begin(slot.put, 1_000_000, Buffer.alloc(300_000));
  await vi.waitFor(() => expect(filesIn(folder)).toHaveLength(1));
  expect((await http('GET', slot.get)).status).toBe(404);
  expect((await http('PUT', slot.put, { body: Buffer.alloc(1_000_000) })).status).toBe(409);
  request.destroy();
  await vi.waitFor(() => expect(filesIn(folder)).toEqual([]));
  expect((await http('PUT', slot.put, { body: Buffer.alloc(1_000_000, 1) })).status).toBe(201);
  expect((await http('GET', slot.get)).body.equals(Buffer.alloc(1_000_000, 1))).toBe(true);
});

test('a client that stands still, or hardly moves, is not waited for', async () => {
  const folder = newFolder();
  const clock = new FakeClock();
  const server = await start({ folder }, { clock });
  const romeo = await Sender.come(server, 'romeo', domain);
  const slot = await romeo.slot({ size: 1_000_000 });
  const request = await begin(slot.put, 1_000_000, Buffer.alloc(100_000));
  const answer = answerTo(request);
  await vi.waitFor(() => expect(filesIn(folder)).toHaveLength(1));
  await turn();
  // enough for the first minute
  await clock.advance(60_000);
  request.write(Buffer.alloc(1_000));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await clock.advance(60_000);
  const { status, headers } = await answer;
  expect([status, headers.connection]).toEqual([408, 'close']);
  await vi.waitFor(() => expect(filesIn(folder)).toEqual([]));
});

test('a slow client that goes on sending is waited for', async () => {
  const folder = newFolder();
  const clock = new FakeClock();
  const server = await start({ folder }, { clock });
  const romeo = await Sender.come(server, 'romeo', domain);
  const slot = await romeo.slot({ size: 200_000 });
  const request = await begin(slot.put, 200_000, Buffer.alloc(20_000));
  const answer = answerTo(request);
  for (let sent = 20_000; sent < 200_000; sent += 20_000) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await clock.advance(59_000);
    request.write(Buffer.alloc(20_000));
  }
  request.end();
  expect((await answer).status).toBe(201);
});

test('a full disk is told of as that, and nothing is left on it', async () => {
  const folder = newFolder();
  const server = await start({ folder });
  const romeo = await Sender.come(server, 'romeo', domain);
  const slot = await romeo.slot({ size: 100_000 });
  const probe = await openFile(join(folder, 'probe'), 'w');
  const handles = Object.getPrototypeOf(probe) as { write: () => Promise<unknown> };
  await probe.close();
  rmSync(join(folder, 'probe'));
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
  const write = vi.spyOn(handles, 'write').mockRejectedValue(full);
  const got = await http('PUT', slot.put, { body: Buffer.alloc(100_000) });
  expect([got.status, got.body.toString()]).toEqual([507, 'there is no room for more files here\n']);
  expect(filesIn(folder)).toEqual([]);
  expect(server.errors.map(({ message }) => message)).toEqual(['there is no room for files']);
  write.mockRestore();
  expect((await http('PUT', slot.put, { body: Buffer.alloc(100_000) })).status).toBe(201);
});

test('what would fill the disk too much gets no slot', async () => {
  const server = await start({ folder: newFolder(), 'keep-free': '1000TiB' });
  const romeo = await Sender.come(server, 'romeo', domain);
  const error = (await romeo.request({ size: 10 })).getChild('error')!;
  expect([error.attrs.type, error.getChild('resource-constraint') !== undefined]).toEqual(['wait', true]);
});

test('a folder that is none is told of, and clients may come again', async () => {
  const file = join(newFolder(), 'file');
  writeFileSync(file, '');
  const server = await start({ folder: file });
  const romeo = await Sender.come(server, 'romeo', domain);
  const slot = await romeo.slot({ size: 10 }).catch(() => undefined);
  if (slot !== undefined) expect((await http('PUT', slot.put, { body: '0123456789' })).status).toBe(503);
  expect(server.errors.map(({ message }) => message)).toEqual(['files cannot be kept']);
});

test('a file that is not on the disk any more is not there, and the operator is told', async () => {
  const folder = newFolder();
  const server = await start({ folder });
  const romeo = await Sender.come(server, 'romeo', domain);
  const url = await romeo.send('0123456789');
  rmSync(join(folder, domain), { recursive: true });
  expect((await http('GET', url)).status).toBe(404);
  expect(server.errors.map(({ message }) => message)).toEqual(['a file is not where files are kept']);
});

test('a reader that goes away in the middle leaves no file open', async () => {
  const folder = newFolder();
  const server = await start({ folder });
  const romeo = await Sender.come(server, 'romeo', domain);
  const url = await romeo.send(Buffer.alloc(20_000_000));
  const openFiles = (): number =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
      } catch {
        return false;
      }
    }).length;
  const request = open('GET', url, {});
  request.on('error', () => {});
  await new Promise((resolve) => request.on('response', resolve).end());
  expect(openFiles()).toBe(1);
  request.destroy();
  await vi.waitFor(() => expect(openFiles()).toBe(0));
});

async function startNodes(folders: readonly string[], isSame: boolean) {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const { clusters } = createNodes();
  const servers: TestServer[] = [];
  for (const [i, cluster] of clusters.entries()) {
    servers.push(await start({ folder: folders[i % folders.length]! }, { clock, driver, cluster }));
    await turn();
  }
  expect(new Set(folders).size === 1).toBe(isSame);
  const at = (url: string, server: TestServer): string => {
    const moved = new URL(url);
    moved.port = String(server.addressOf('http').port);
    return moved.href;
  };
  return { servers: servers as [TestServer, TestServer], clock, at };
}

test('in a cluster a slot of one node is used on the other, once', async () => {
  const {
    servers: [one, two],
    at,
  } = await startNodes([newFolder()], true);
  const romeo = await Sender.come(one, 'romeo', domain);
  const slot = await romeo.slot({ size: 10 });
  const both = await Promise.all([one, two].map((server) => http('PUT', at(slot.put, server), { body: '0123456789' })));
  expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
  for (const server of [one, two]) expect((await http('GET', at(slot.get, server))).body.toString()).toBe('0123456789');
  expect([...one.errors, ...two.errors]).toEqual([]);
});

test('in a cluster a node with another folder takes no files, and says why', async () => {
  const { servers, clock } = await startNodes([newFolder(), newFolder()], false);
  const romeo = await Sender.come(servers[0], 'romeo', domain);
  const juliet = await Sender.come(servers[1], 'juliet', domain);
  const answers = [romeo.request({ size: 10 }), juliet.request({ size: 10 })];
  await turn();
  await clock.advance(3_000);
  const types = (await Promise.all(answers)).map(({ attrs }) => String(attrs.type));
  expect(types.sort()).toEqual(['error', 'result']);
  const errors = servers.flatMap((server) => server.errors);
  expect(errors).toHaveLength(1);
  expect(errors[0]!.message).toMatch(/^other nodes keep files in another folder: let all share one/);
});
