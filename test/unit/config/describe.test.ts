import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, describe as group, it } from 'vitest';
import { parse } from 'yaml';
import { describe, diff } from '../../../src/config/describe.ts';
import { exampleFile } from '../../../src/config/document.ts';
import { loadConfig, parseConfig } from '../../../src/config/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley-describe-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
function load(text: string, environment: Record<string, string> = {}) {
  writeFileSync(join(folder, 'parley.yaml'), text);
  return loadConfig({ folder, environment });
}

group('describe', () => {
  const config = load(
    `database: postgres://me:geheim1@db/x?password=geheim2
redis: { sentinels: [redis://:geheim3@h], name: chat, password: geheim9 }
registration: open
limits: { auth-timeout: 1m }
components: { irc.example.org: { secret: geheim4 } }
external-services: [{ type: turn, host: a.example, secret: geheim5 }]
modules: { mine: { api-token: geheim6, depth: { password: geheim7 }, name: seen } }
hosts:
  Example.org: { registration: closed, modules: { mine: { key: geheim8 } } }
`,
    { PARLEY_LISTEN__C2S: '0' },
  );
  const value = (list: ReturnType<typeof describe>, path: string) => list.find((one) => one.path === path);

  it('tells effective values in the form of the file, and where each was said', () => {
    const all = describe(config);
    expect(value(all, 'registration')).toEqual({ path: 'registration', value: 'open', origin: 'parley.yaml:3:15' });
    expect(value(all, 'limits.auth-timeout')).toMatchObject({ value: '1m', origin: 'parley.yaml:4:25' });
    expect(value(all, 'limits.idle-timeout')).toMatchObject({ value: '30m', origin: 'default' });
    expect(value(all, 'listen.c2s')).toMatchObject({ value: 0, origin: 'PARLEY_LISTEN__C2S' });
    expect(value(all, 'hosts.example.org')?.value).toMatchObject({ registration: 'closed' });
  });

  it('tells the settings of a host with what it inherits', () => {
    const host = describe(config, 'example.org');
    expect(value(host, 'registration')).toMatchObject({ value: 'closed', origin: 'parley.yaml:9:32' });
    expect(value(host, 'limits.auth-timeout')).toMatchObject({ value: '1m', origin: 'parley.yaml:4:25' });
    expect(value(host, 'modules.mine.name')).toMatchObject({ value: 'seen', origin: 'parley.yaml:7:76' });
  });

  it('shows no secret anywhere', () => {
    const text = JSON.stringify([describe(config), describe(config, 'example.org')]);
    expect(text).not.toMatch(/geheim/);
    expect(text).toContain('postgres://me:********@db/x?password=********');
  });
});

group('diff', () => {
  it('is empty for the same settings', () => {
    expect(diff(load('registration: open'), load('# said otherwise\nregistration: "open"'))).toEqual([]);
  });

  it('tells what changes now and what needs a restart', () => {
    const before = load('listen: { c2s: 5222 }\nhosts: { a.example: {}, b.example: { registration: open } }');
    const after = load(
      'listen: { c2s: 6222 }\nlog: { level: debug }\nregistration: closed\nhosts: { b.example: { registration: open, admins: [x@b.example] }, c.example: {} }',
    );
    expect(diff(before, after)).toEqual([
      { path: 'listen.c2s', restart: true },
      { path: 'registration', restart: false },
      { path: 'log.level', restart: false },
      { path: 'hosts.a.example', restart: false },
      { path: 'hosts.b.example.admins', restart: false },
      { path: 'hosts.c.example', restart: false },
    ]);
  });

  it('notices a secret that changed, and does not tell it', () => {
    const [before, after] = ['one', 'two'].map((secret) => load(`components: { a.example: { secret: ${secret} } }`));
    expect(diff(before!, after!)).toEqual([{ path: 'components.a.example.secret', restart: false }]);
  });
});

group('what is generated', () => {
  it('the example file shows the defaults: with its "#" taken away nothing changes', () => {
    const text = exampleFile()
      .split('\n')
      .map((line) => line.replace(/^#(?=( {2})*[a-z])/, ''))
      .join('\n');
    expect(Object.keys(parse(text))).toContain('limits');
    const changed = diff(parseConfig({}, { baseFolder: folder }), load(text)).map(({ path }) => path);
    expect(changed.filter((path) => path !== 'listen.address')).toEqual([]);
  });

  it('the configuration for production is right', () => {
    const file = fileURLToPath(new URL('../../../config/production.yaml', import.meta.url));
    const config = loadConfig({ file, environment: { DATABASE_PASSWORD: 'x' } });
    expect(config.database).toBe('postgres://parley:x@127.0.0.1:5432/parley');
    expect(config.source.warnings).toEqual([]);
  });

  it('the files of the repository are up to date (otherwise: npm run docs)', () => {
    const script = fileURLToPath(new URL('../../../scripts/generate-docs.js', import.meta.url));
    const tsx = fileURLToPath(new URL('../../../node_modules/tsx/dist/cli.mjs', import.meta.url));
    const { stderr, status } = spawnSync(process.execPath, [tsx, script, '--check'], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });
});
