// `parley export` and `parley import` (XEP-0227) while the server does not run: it is started for them, and nobody can reach it.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { runCli } from '../../../src/cli/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley transfer '));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(...argv: string[]) {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCli([...argv, '--config', join(folder, 'parley.yaml')], {
    out: (text) => void out.push(text),
    error: (text) => void errors.push(text),
    environment: {},
    folder,
    stdin: Readable.from([]) as unknown as NodeJS.ReadStream,
    isTerminal: false,
  });
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}

// a port that is taken would be no hindrance: none is opened
const settings = (database: string): string =>
  `hosts: {verona.test: {}}\ndatabase: ${database}\ndata: ${JSON.stringify(join(folder, 'data'))}\nlisten: {address: [192.0.2.1]}\n`;
const given = join(folder, 'given.xml');
writeFileSync(
  given,
  "<server-data xmlns='urn:xmpp:pie:0'><host jid='verona.test'><user name='romeo' password='secret'><query xmlns='jabber:iq:roster'><item jid='juliet@verona.test' name='Julia'/></query></user></host></server-data>",
);

test('accounts go into the store of a stopped server, and out of it', async () => {
  writeFileSync(join(folder, 'parley.yaml'), settings('embedded'));
  const dry = await run('import', '--dry-run', given);
  expect(dry).toMatchObject({ code: 0, out: expect.stringContaining('romeo@verona.test (new)') });
  expect((await run('user', 'ls')).out).not.toContain('romeo');
  const done = await run('import', given, '--json');
  expect(JSON.parse(done.out)).toMatchObject({ dry: false, accounts: [{ jid: 'romeo@verona.test', state: 'added' }] });
  const file = join(folder, 'out.xml');
  expect(await run('export', file, '--user', 'romeo@verona.test')).toMatchObject({ code: 0 });
  expect(readFileSync(file, 'utf8')).toContain("name='Julia'");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const refused = await run('export', file, '--user', 'tybalt@verona.test');
  expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('no account tybalt@verona.test') });
  expect(await run('import', join(folder, 'none.xml'))).toMatchObject({ code: 1 });
}, 60_000);

test('what is kept in memory only is not there while the server does not run', async () => {
  writeFileSync(join(folder, 'parley.yaml'), settings('memory'));
  mkdirSync(join(folder, 'data'), { recursive: true });
  expect(await run('export', join(folder, 'x.xml'))).toMatchObject({
    code: 1,
    errors: expect.stringContaining('memory'),
  });
});
