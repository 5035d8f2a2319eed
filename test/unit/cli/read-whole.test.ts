// What `parley start`, `config check` and a reload read: all mistakes are told at once.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { readWhole } from '../../../src/cli/settings.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { ConfigError, formatProblem } from '../../../src/config/problems.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const tsx = new URL('../../../node_modules/tsx/dist/esm/index.mjs', import.meta.url).href;

describe('the whole configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-config-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  async function problemsOf(text: string): Promise<string[]> {
    writeFileSync(join(folder, 'parley.yaml'), text);
    try {
      await readWhole(() => loadConfig({ folder, environment: {} }));
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.problems.map(formatProblem);
    }
  }

  test('tells the mistakes in settings of modules together with the others, in the order of the file', async () => {
    const text = [
      'hosts:',
      '  example.org: { modules: { ping: { interval: 5 } } }',
      'modules: { pign: false }',
      'listen: { c2s: 99999 }',
    ];
    expect(await problemsOf(text.join('\n'))).toEqual([
      'parley.yaml:2:37 hosts.example.org.modules.ping.interval: the module has no settings',
      'parley.yaml:3:12 modules.pign: there is no such module. Did you mean "ping"?',
      'parley.yaml:4:16 listen.c2s: 99999 is too large: it must be at most 65535',
    ]);
  });

  test('calls no module unknown while there are plugins that were not loaded', async () => {
    const text = 'plugins: [./mine.mjs]\nmodules: { mine: false }\nlisten: { c2s: 99999 }';
    expect(await problemsOf(text)).toEqual([
      'parley.yaml:3:16 listen.c2s: 99999 is too large: it must be at most 65535',
    ]);
  });

  test('takes plugins by their path, with characters that mean something in a URL', () => {
    const odd = join(folder, 'a #1 %41 ü');
    mkdirSync(odd);
    writeFileSync(join(odd, 'mine.mjs'), "export default { xeps: [], summary: '', setup: () => ({}) };");
    writeFileSync(join(odd, 'parley.yaml'), 'plugins: [./mine.mjs]\nmodules: { mine: false }');
    // a process of its own: the test runner imports in its own way
    const { status, stderr } = spawnSync(process.execPath, ['--import', tsx, main, 'config', 'check'], {
      cwd: odd,
      env: { PATH: process.env.PATH },
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  test('tells every plugin that cannot be loaded, with its place', async () => {
    writeFileSync(join(folder, 'five.mjs'), 'export default 5;');
    expect(await problemsOf('plugins: [./nothing.mjs, ./five.mjs]')).toEqual([
      expect.stringMatching(/^parley\.yaml:1:11 plugins\[0\]: .*nothing\.mjs cannot be loaded: (?!.*imported from)/),
      expect.stringMatching(
        /^parley\.yaml:1:26 plugins\[1\]: .*five\.mjs cannot be loaded: .* has no module as its default export$/,
      ),
    ]);
  });
});
