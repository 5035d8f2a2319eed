// The command line as a process: what it prints, and its exit codes.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readLine } from '../../../src/cli/io.ts';
import { runCli } from '../../../src/cli/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley cli '));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command in this process. */
async function run(
  argv: readonly string[],
  options: { stdin?: string; environment?: Record<string, string>; in?: string } = {},
) {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCli(argv, {
    out: (text) => void out.push(text),
    error: (text) => void errors.push(text),
    environment: { PARLEY_DATABASE: 'memory', ...options.environment },
    folder: options.in ?? folder,
    stdin: Readable.from(options.stdin === undefined ? [] : [options.stdin]) as unknown as NodeJS.ReadStream,
    isTerminal: false,
  });
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const tsx = new URL('../../../node_modules/tsx/dist/esm/index.mjs', import.meta.url).href;

/** Runs a server as a process of its own. */
function startServer(argv: readonly string[], cwd = folder) {
  const child = spawn(process.execPath, ['--import', tsx, main, 'start', ...argv], {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  const waiting: (() => void)[] = [];
  const add = (chunk: Buffer): void => {
    text += chunk;
    for (const check of [...waiting]) check();
  };
  child.stdout.on('data', add);
  child.stderr.on('data', add);
  const ended = new Promise<number | null>((done) => child.on('close', (code) => done(code)));
  const says = (what: string): Promise<void> =>
    new Promise((done, failed) => {
      const check = (): void => {
        if (text.includes(what)) done();
      };
      waiting.push(check);
      void ended.then(() => failed(new Error(`it ended without saying "${what}":\n${text}`)));
      check();
    });
  return { child, ended, says, text: () => text };
}

const ports =
  'listen: { address: 127.0.0.1, c2s: 0, c2s-tls: null, s2s: null, s2s-tls: null, component: null, http: null, https: null }';

describe('usage', () => {
  it.each([
    [['nonsense']],
    [[]],
    [['user', 'add']],
    [['user', 'add', 'alice']],
    [['user', 'add', 'alice@localhost', '--password-stdin', '--generate']],
    [['user', 'add', 'alice@localhost', '--batch', 'x']],
    [['user', 'add', '--batch', 'x', '--generate']],
    [['user', 'add', 'alice@localhost']],
    [['user', 'passwd']],
    [['user', 'show', 'a@b', 'more']],
    [['log', 'level', 'c2s', 'loud']],
    [['status', '--bogus']],
    [['config', 'show', '--host', 'not a domain']],
  ])('parley %j is wrong: exit 2, and a reason', async (argv) => {
    const { code, errors } = await run(argv);
    expect(code).toBe(2);
    expect(errors).not.toBe('');
  });

  it('help and version are answers: exit 0', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    const { code, out } = await run(['user', 'add', '--help']);
    expect(code).toBe(0);
    expect(out).toContain('--password-stdin');
    expect((await run(['--help'])).out).toMatch(/\binvite\b/);
    expect((await run(['help', 'invite'])).out).toMatch(/--qr[\s\S]*\bls\b[\s\S]*revoke .*<token>/);
  });

  it('help is given on a command of two words', async () => {
    expect((await run(['help', 'user', 'add'])).out).toContain('Usage: parley user add');
    expect((await run(['help', 'user'])).out).toContain('Usage: parley user [options]');
  });

  it('who leaves out the "--" of npm is told of it', async () => {
    const environment = { npm_lifecycle_event: 'start' };
    const { code, errors } = await run(['start', 'parley.yaml'], { environment });
    expect(code).toBe(2);
    expect(errors).toContain('npm start -- --config FILE');
    expect((await run(['start', 'parley.yaml'])).errors).not.toContain('npm');
  });

  it('with --json errors are JSON too', async () => {
    const { code, out, errors } = await run(['nonsense', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(out).error.code).toBe('usage');
    expect(errors).toBe('');
  });

  it('a password from standard input is its first line', async () => {
    expect(await readLine(Readable.from([Buffer.from('ge'), Buffer.from('heim \r\nmore')]))).toBe('geheim ');
    expect(await readLine(Readable.from([]))).toBe('');
  });

  it('a stopped server with its database in memory has no store to work on: exit 1', async () => {
    const { code, errors } = await run(['user', 'ls']);
    expect(code).toBe(1);
    expect(errors).toContain('not running');
    const status = await run(['status', '--json']);
    expect(status.code).toBe(1);
    expect(JSON.parse(status.out).error.code).toBe('not-running');
  });
});

describe('config', () => {
  it('check lists every mistake: exit 2', async () => {
    writeFileSync(join(folder, 'wrong.yaml'), 'registration: x\nlimits: { enable: true }\nmodules: { pnig: false }\n');
    const { code, errors } = await run(['config', 'check', '--config', 'wrong.yaml']);
    expect(code).toBe(2);
    expect(errors.split('\n')).toHaveLength(3);
    const json = await run(['config', 'check', '-c', 'wrong.yaml', '--json']);
    expect(JSON.parse(json.out).error.problems[1]).toEqual({
      place: 'wrong.yaml:2:11',
      path: 'limits.enable',
      message: 'there is no such setting. Did you mean "enabled"?',
    });
  });

  it('check looks at modules, and is content with what is right', async () => {
    writeFileSync(join(folder, 'module.yaml'), 'modules: { pnig: false }\n');
    const wrong = await run(['config', 'check', '-c', 'module.yaml']);
    expect(wrong.code).toBe(2);
    expect(wrong.errors).toContain('modules.pnig: there is no such module');
    writeFileSync(join(folder, 'right.yaml'), 'registration: closed\n');
    expect(await run(['config', 'check', '-c', 'right.yaml'])).toMatchObject({
      code: 0,
      out: `${join(folder, 'right.yaml')} is right`,
    });
  });

  it('show tells values and origins, for one host too', async () => {
    const all = await run(['config', 'show', '-c', 'right.yaml']);
    expect(all.out).toMatch(/^registration: "closed" +# right\.yaml:1:15$/m);
    expect(all.out).toMatch(/^database: "memory" +# PARLEY_DATABASE$/m);
    const host = await run(['config', 'show', '-c', 'right.yaml', '--host', 'LocalHost', '--json']);
    expect(JSON.parse(host.out).settings).toContainEqual({
      path: 'authentication',
      value: 'accounts',
      origin: 'default',
    });
    expect((await run(['config', 'show', '--host', 'other.example'])).code).toBe(1);
    expect((await run(['config', 'show', '-c', 'none.yaml'])).errors).toBe('none.yaml: there is no such file');
  });
});

describe('start', () => {
  it('with a wrong configuration lists all mistakes, and exits 2', async () => {
    const { ended, text } = startServer(['--config', join(folder, 'wrong.yaml')]);
    expect(await ended).toBe(2);
    expect(text()).toMatch(/registration: "x" is not one of[\s\S]*limits\.enable: there is no such setting/);
    expect(text()).not.toMatch(/\bat .*\.ts/);
  });

  it('names the port that is in use, and exits 1', async () => {
    const taken = createServer();
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
    const { port } = taken.address() as AddressInfo;
    writeFileSync(
      join(folder, 'port.yaml'),
      `database: memory\ndata: ./port\n${ports.replace('c2s: 0', `c2s: ${port}`)}\n`,
    );
    const { ended, text } = startServer(['-c', 'port.yaml']);
    expect(await ended).toBe(1);
    const complaint = text()
      .split('\n')
      .filter((line) => line.startsWith('parley: '));
    expect(complaint).toHaveLength(1);
    expect(complaint[0]).toContain(`port ${port}`);
    await new Promise((done) => taken.close(done));
  });

  it('says why a data folder will not do, and exits 1', async () => {
    writeFileSync(join(folder, 'a-file'), '');
    const { code, errors } = await run(['start'], { environment: { PARLEY_DATA: 'a-file' } });
    expect(code).toBe(1);
    expect(errors).toContain('a file is in the way');
  });

  it('runs until it is told to stop, and is looked after meanwhile', async () => {
    const home = join(folder, 'a home with blanks');
    mkdirSync(home);
    const file = join(home, 'parley.yaml');
    writeFileSync(file, `database: memory\n${ports}\n`);
    const server = startServer([], home);
    await server.says('npx parley user add alice@localhost');
    expect(server.text()).toMatch(/c2s +127\.0\.0\.1:\d+/);
    const cli = (argv: readonly string[], stdin?: string) =>
      run([...argv, '-c', file], stdin === undefined ? {} : { stdin });

    expect(await cli(['user', 'add', 'alice@localhost', '--password-stdin'], 'geheim\n')).toMatchObject({
      code: 0,
      errors: '',
    });
    expect((await cli(['user', 'add', 'alice@localhost', '--password-stdin'], 'geheim\n')).code).toBe(1);
    const made = await cli(['user', 'add', 'bob@localhost', '--generate', '--json']);
    expect(JSON.parse(made.out)).toMatchObject({ jid: 'bob@localhost', password: expect.stringMatching(/^\w{20}$/) });
    writeFileSync(join(folder, 'batch'), 'c@localhost pw\nbad\nd@localhost pw\n');
    const batch = await cli(['user', 'add', '--batch', join(folder, 'batch')]);
    expect(batch).toMatchObject({
      code: 1,
      out: '2 accounts made, 1 failed',
      errors: expect.stringContaining('batch:2: '),
    });
    expect(JSON.parse((await cli(['user', 'ls', '--json'])).out).accounts).toHaveLength(4);
    expect(JSON.parse((await cli(['status', '--json'])).out)).toMatchObject({
      pid: server.child.pid,
      hosts: ['localhost'],
      database: { ok: true },
    });
    expect((await cli(['session', 'ls'])).out).toBe('nobody is connected');
    expect((await cli(['log', 'level', 'c2s', 'debug', '--for', '1s'])).code).toBe(0);

    const second = startServer([], home);
    expect(await second.ended).toBe(1);
    expect(second.text()).toContain('another server is running');

    writeFileSync(file, `database: memory\n${ports}\nregistration: oops\n`);
    server.child.kill('SIGHUP');
    await server.says('not reloaded: parley.yaml:3:15 registration: \\"oops\\" is not one of');
    // the server has what it had, and can be asked; it refuses the file itself
    expect((await cli(['status'])).code).toBe(0);
    expect(await cli(['reload'])).toMatchObject({ code: 1, errors: expect.stringContaining('"oops" is not one of') });
    writeFileSync(file, `database: memory\n${ports}\nregistration: closed\nlog: { format: pretty }\n`);
    expect(JSON.parse((await cli(['reload', '--json'])).out)).toEqual({
      applied: ['registration'],
      restart: ['log.format'],
    });
    // what waits for a restart is told until it came, or nobody wants it any more
    writeFileSync(file, `database: memory\n${ports}\nregistration: open\nlog: { format: pretty }\n`);
    const third = JSON.parse((await cli(['reload', '--json'])).out);
    expect(third).toEqual({ applied: ['registration'], restart: ['log.format'] });
    writeFileSync(file, `database: memory\n${ports}\nregistration: open\n`);
    expect((await cli(['reload'])).out).toBe('nothing has changed');

    expect((await cli(['stop'])).out).toBe('stopped');
    expect(await server.ended).toBe(0);
  });

  it('begins again after kill -9, and exits 0 on SIGTERM', async () => {
    const home = join(folder, 'again');
    mkdirSync(home);
    writeFileSync(join(home, 'parley.yaml'), `database: memory\n${ports}\n`);
    const killed = startServer([], home);
    await killed.says('is ready');
    killed.child.kill('SIGKILL');
    await killed.ended;
    const server = startServer([], home);
    await server.says('is ready');
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
  });
});
