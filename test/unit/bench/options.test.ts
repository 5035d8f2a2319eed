import { expect, test } from 'vitest';
import { parseOptions, UsageError } from '../../../bench/options.ts';
import { userBatch } from '../../../bench/users.ts';

const specs = { pairs: { value: 50, help: '' }, roster: { value: true, help: '' }, to: { value: 'bare', help: '' } };
const parse = (...args: string[]) => parseOptions(args, specs, (own) => 2 * Number(own.pairs));

test('options that are not given have the defaults of the profile', () => {
  const { own, common } = parse();
  expect(own).toEqual({ pairs: 50, roster: true, to: 'bare' });
  expect(common.users).toBe(100);
  expect(common.host).toBeUndefined();
});

test('options that are given have the type of their default', () => {
  const { own, common } = parse('--pairs', '7', '--no-roster', '--to', 'full', '--pid', '12,34', '--db-pid', '56');
  expect(own).toEqual({ pairs: 7, roster: false, to: 'full' });
  expect(common.users).toBe(14);
  expect(common.pids).toEqual([12, 34]);
  expect(common.databasePids).toEqual([56]);
});

test('direct TLS has a port of its own', () => {
  expect(parse('--tls', 'direct').common.target.port).toBe(5223);
  expect(parse('--tls', 'starttls').common.target.port).toBe(5222);
});

test.each([[['--pairs', 'many']], [['--tls', 'maybe']], [['--unheard-of']], [['--pairs']], [['--users', '-1']]])(
  'wrong usage is refused: %s',
  (args) => {
    expect(() => parse(...args)).toThrow(UsageError);
  },
);

test('users are written as each server takes them', () => {
  const list = { domain: 'example.org', users: 2, userPrefix: 'u', password: 'pw' };
  expect(userBatch('parley', list)).toBe('u1@example.org pw\nu2@example.org pw\n');
  expect(userBatch('prosody', list)).toContain('prosodyctl register u2 example.org pw\n');
  expect(userBatch('ejabberd', list)).toContain('ejabberdctl register u2 example.org pw\n');
});
