import { describe, expect, test } from 'vitest';
import { isNick, likeness } from '../../../../src/modules/muc/nicks.ts';

describe('nicks', () => {
  test.each([
    ['Juliet', 'juliet'],
    ['Al  Ice', 'al ice'],
    ['Ｊｕｌｉｅｔ', 'Juliet'],
    ['Rоmeo', 'Romeo'],
    ['Ju\u200bliet', 'Juliet'],
    ['ΟΚ', 'ok'],
    ['Juliet\u2800', 'Juliet'],
    ['Juliet\u3164', 'Juliet'],
  ])('%s looks like %s', (one, other) => {
    expect(likeness(one)).toBe(likeness(other));
  });

  test.each([
    ['José', 'Jose'],
    ['Anna', 'Hanna'],
    ['李', '王'],
  ])('%s does not look like %s', (one, other) => {
    expect(likeness(one)).not.toBe(likeness(other));
  });

  test.each(['Al Ice', '♚', '李', '1', '-'])('%s is one', (nick) => {
    expect(isNick(nick)).toBe(true);
  });

  test.each(['', ' ', '\u00a0\u2003', '\u200b', '\u0301', '\u3164', '\u2800', '\u1160 \u2800', 'x'.repeat(257)])(
    '"%s" is none',
    (nick) => {
      expect(isNick(nick)).toBe(false);
    },
  );
});
