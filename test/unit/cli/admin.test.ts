import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { silent } from '../../../src/base/log.ts';
import { connectAdmin } from '../../../src/cli/admin-client.ts';
import { type AdminServer, AlreadyRunningError, createAdminServer } from '../../../src/cli/admin-server.ts';
import { adminSocketPath, LINE_LIMIT, LineReader } from '../../../src/cli/admin-socket.ts';
import {
  type AdminContext,
  type AnyCommand,
  CommandError,
  defineCommand,
  runCommand,
} from '../../../src/core/commands.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley-admin-'));
const path = join(folder, 'admin.sock');
let server: AdminServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const commands = [
  defineCommand({
    name: 'echo',
    summary: 'Says it again',
    args: z.strictObject({ text: z.string() }),
    run: (_context, { text }) => ({ text }),
    render: ({ text }) => text,
  }),
  defineCommand({
    name: 'refuse',
    summary: 'Refuses',
    args: z.strictObject({}),
    run: (): object => {
      throw new CommandError('not-found', 'nobody there');
    },
    render: () => '',
  }),
  defineCommand({
    name: 'break',
    summary: 'Breaks',
    args: z.strictObject({}),
    run: (): object => {
      throw new TypeError('a fault of ours');
    },
    render: () => '',
  }),
];
const start = async (context: () => AdminContext = () => ({}) as AdminContext): Promise<void> => {
  const run = (command: AnyCommand, args: unknown) => runCommand(command, context(), args);
  server = await createAdminServer({ path, commands, run, log: silent });
};

/** Sends bytes and collects the lines of the answer until the server closes or so many have come. */
function talk(bytes: string | Buffer, lines: number): Promise<unknown[]> {
  return new Promise((done, failed) => {
    let text = '';
    const socket = connect(path, () => socket.write(bytes));
    const finish = (): void => {
      socket.destroy();
      done(
        text
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line)),
      );
    };
    socket.on('data', (chunk) => {
      text += chunk;
      if (text.split('\n').length > lines) finish();
    });
    socket.on('end', finish);
    socket.on('error', failed);
  });
}

describe('adminSocketPath', () => {
  it('is in the data folder as long as its path fits into sockaddr_un', () => {
    expect(adminSocketPath('/var/lib/parley', {})).toBe('/var/lib/parley/admin.sock');
  });

  it('is a hashed name in the run-time folder otherwise, the same for the same folder', () => {
    const long = `/${'x'.repeat(100)}`;
    const short = adminSocketPath(long, { XDG_RUNTIME_DIR: '/run/user/1000' });
    expect(short).toMatch(/^\/run\/user\/1000\/parley-[0-9a-f]{24}\.sock$/);
    expect(adminSocketPath(`${long}/.`, { XDG_RUNTIME_DIR: '/run/user/1000' })).toBe(short);
    expect(adminSocketPath(`${long}y`, { XDG_RUNTIME_DIR: '/run/user/1000' })).not.toBe(short);
  });

  it('is in the folder of temporary files where there is no run-time folder, or that is too long as well', () => {
    const long = `/${'ä'.repeat(60)}`;
    for (const environment of [{}, { XDG_RUNTIME_DIR: long }]) {
      const found = adminSocketPath(long, environment);
      expect(found.startsWith(tmpdir())).toBe(true);
      expect(Buffer.byteLength(found)).toBeLessThanOrEqual(107);
    }
  });
});

describe('LineReader', () => {
  it('gives the same lines however the bytes are cut', () => {
    const bytes = Buffer.from('ä1\n\nthree €\nrest');
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new LineReader();
      const lines: string[] = [];
      for (let at = 0; at < bytes.length; at += size) lines.push(...reader.push(bytes.subarray(at, at + size)));
      expect(lines).toEqual(['ä1', '', 'three €']);
    }
  });

  it('refuses a line beyond its limit', () => {
    const reader = new LineReader(4);
    expect(reader.push(Buffer.from('1234\n'))).toEqual(['1234']);
    expect(() => reader.push(Buffer.from('12345'))).toThrow(RangeError);
  });
});

describe('the admin channel', () => {
  it('answers requests in their order, and refusals with a code', async () => {
    await start();
    const client = (await connectAdmin(path))!;
    expect(await Promise.all([client.run('echo', { text: 'a' }), client.run('echo', { text: 'b' })])).toEqual([
      { text: 'a' },
      { text: 'b' },
    ]);
    await expect(client.run('refuse', {})).rejects.toMatchObject({ code: 'not-found', message: 'nobody there' });
    await expect(client.run('break', {})).rejects.toMatchObject({ code: 'failed', message: 'a fault of ours' });
    await expect(client.run('nothing', {})).rejects.toMatchObject({ code: 'unknown-command' });
    await expect(client.run('echo', { text: 5 })).rejects.toMatchObject({ code: 'bad-arguments' });
    await expect(client.run('echo', { text: '', more: 1 })).rejects.toMatchObject({ code: 'bad-arguments' });
    client.close();
  });

  it('is for the user of the server only', async () => {
    await start();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('refuses what is no request, and goes on', async () => {
    await start();
    const good = '{"id":7,"command":"echo","args":{"text":"x"}}';
    const bad = ['nonsense', '[]', '{"id":"1","command":"echo"}', '{"id":1.5,"command":"echo"}', 'null'];
    const answers = await talk(`${[...bad, good].join('\n')}\n`, 6);
    expect(answers.slice(0, 5)).toEqual(
      bad.map(() =>
        expect.objectContaining({ id: null, ok: false, error: expect.objectContaining({ code: 'bad-request' }) }),
      ),
    );
    expect(answers[5]).toEqual({ id: 7, ok: true, result: { text: 'x' } });
  });

  it('closes on a request without end', async () => {
    await start();
    expect(await talk(Buffer.alloc(LINE_LIMIT + 1, 'a'), 2)).toEqual([
      { id: null, ok: false, error: { code: 'bad-request', message: 'the request is too long' } },
    ]);
  });

  it('says so while the server is not ready', async () => {
    await start(() => {
      throw new CommandError('not-running', 'starting');
    });
    const client = (await connectAdmin(path))!;
    await expect(client.run('echo', { text: '' })).rejects.toMatchObject({ code: 'not-running' });
    client.close();
  });

  it('a second server is refused as long as the first one answers', async () => {
    await start();
    await expect(createAdminServer({ path, commands, run: () => ({}), log: silent })).rejects.toBeInstanceOf(
      AlreadyRunningError,
    );
    expect(await connectAdmin(path)).toBeDefined();
  });

  it('a socket that a killed server left is replaced', async () => {
    // bound, then closed without removal, as the kernel leaves it after kill -9
    const dead = createServer();
    await new Promise<void>((done) => dead.listen(path, done));
    renameSync(path, `${path}.kept`);
    await new Promise((done) => dead.close(done));
    renameSync(`${path}.kept`, path);
    expect(await connectAdmin(path)).toBeUndefined();
    await start();
    const client = await connectAdmin(path);
    expect(client).toBeDefined();
    client?.close();
  });

  it('a file in the way is not removed', async () => {
    writeFileSync(path, 'precious');
    await expect(start()).rejects.toThrow('it is not a socket');
    expect(existsSync(path)).toBe(true);
    rmSync(path);
  });

  it('nobody is connected to where nobody listens, and the end of the server is told', async () => {
    expect(await connectAdmin(path)).toBeUndefined();
    await start();
    const client = (await connectAdmin(path))!;
    await server!.close();
    server = undefined;
    await client.closed;
    await expect(client.run('echo', { text: '' })).rejects.toMatchObject({ code: 'failed' });
    expect(existsSync(path)).toBe(false);
  });
});
