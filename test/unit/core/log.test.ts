import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { createLog, type LogOptions, prettyLine } from '../../../src/core/log.ts';

function capture(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const timers: { ms: number; fn: () => void; cancelled: boolean }[] = [];
  const clock: Clock = {
    now: () => 1000,
    after(ms, fn) {
      const timer = { ms, fn, cancelled: false };
      timers.push(timer);
      return () => {
        timer.cancelled = true;
      };
    },
  };
  const out = { write: (line: string) => void lines.push(line) };
  const log = createLog({ level: 'info', modules: {}, format: 'json', out, clock, ...options });
  const messages = () => lines.splice(0).map((line) => JSON.parse(line).msg);
  return { log, lines, timers, messages };
}

describe('levels', () => {
  it('differ by part or module, and are inherited by what is below', () => {
    const { log, messages } = capture({ level: 'warn', modules: { s2s: 'debug', mam: 'error' } });
    log.info({}, 'no');
    log.warn({}, 'root');
    const s2s = log.child({ part: 's2s' });
    s2s.debug({}, 's2s');
    s2s.child({ peer: 'x' }).debug({}, 'below s2s');
    log.child({ host: 'a.example' }).child({ module: 'mam' }).warn({}, 'no');
    log.child({ part: 'c2s' }).info({}, 'no');
    expect(messages()).toEqual(['root', 's2s', 'below s2s']);
  });

  it('change while running, for loggers that are there already, and go back after a while', () => {
    const { log, messages, timers } = capture();
    const c2s = log.child({ part: 'c2s' });
    log.setLevel('c2s', 'debug', 5000);
    c2s.debug({}, 'one');
    log.debug({}, 'no');
    expect(timers[0]?.ms).toBe(5000);
    timers[0]!.fn();
    c2s.debug({}, 'no');
    log.setLevel('*', 'error');
    c2s.warn({}, 'no');
    log.setLevel('c2s', 'info');
    c2s.info({}, 'two');
    expect(messages()).toEqual(['one', 'two']);
  });

  it('a later change ends an earlier one that was for a while', () => {
    const { log, timers } = capture();
    log.setLevel('c2s', 'debug', 5000);
    log.setLevel('c2s', 'warn');
    expect(timers[0]?.cancelled).toBe(true);
  });

  it('follow the configuration when it is read again', () => {
    const { log, messages } = capture();
    const c2s = log.child({ part: 'c2s' });
    log.configure({ level: 'error', modules: { c2s: 'debug' } });
    c2s.debug({}, 'yes');
    log.warn({}, 'no');
    expect(messages()).toEqual(['yes']);
  });
});

describe('lines', () => {
  it('are JSON with a level in words and a time, and never hold secrets', () => {
    const { log, lines } = capture();
    log.info({ user: 'a', password: 'geheim', deep: { token: 'geheim', kept: 1 } }, 'hello');
    log.child({ secret: 'geheim' }).info({}, 'child');
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'info', msg: 'hello', user: 'a', deep: { kept: 1 } });
    expect(lines.join('')).not.toContain('geheim');
  });

  it('read well on a terminal', () => {
    const line = JSON.stringify({
      level: 'warn',
      time: '2026-01-02T03:04:05.678Z',
      host: 'a.example',
      module: 'mam',
      n: 5,
      text: 'two words',
      msg: 'careful',
    });
    expect(prettyLine(line, false)).toBe('03:04:05 warn  a.example mam careful n=5 text="two words"\n');
    expect(prettyLine(line, true)).toContain('\u001b[33mwarn \u001b[0m');
  });

  it('cannot draw on the terminal of whoever reads them', () => {
    const line = JSON.stringify({ level: 'error', msg: 'a\u001b[2Jb\rc', err: { stack: 'Error: \u0007\n    at x' } });
    const text = prettyLine(line, false);
    expect(text).toContain('a\\x1b[2Jb\\x0dc');
    expect(text).toContain('\n    Error: \\x07\n        at x\n');
  });

  it('go through as they are when they are no JSON', () => {
    expect(prettyLine('plain\n', true)).toBe('plain\n');
  });
});

describe('recent errors', () => {
  it('are kept, the latest first, at most twenty', () => {
    const { log } = capture();
    for (let i = 0; i < 25; i++) log.child({}).error({ err: new Error(`cause ${i}`) }, 'failed');
    log.error({}, 'last');
    expect(log.recentErrors()).toHaveLength(20);
    expect(log.recentErrors().slice(0, 2)).toEqual([
      { at: 1000, message: 'last' },
      { at: 1000, message: 'failed: cause 24' },
    ]);
  });
});
