import { describe, expect, it } from 'vitest';
import { el } from '../../../src/xml/element.ts';
import { formatDateTime, formatOffset, parseDateTime } from '../../../src/xmpp/datetime.ts';
import { delayElement, delayedSince } from '../../../src/xmpp/delay.ts';

describe('parseDateTime (XEP-0082 3.2)', () => {
  it.each([
    ['1969-07-21T02:56:15Z', '1969-07-21T02:56:15.000Z'],
    ['1969-07-20T21:56:15-05:00', '1969-07-21T02:56:15.000Z'],
    ['2002-09-10T23:08:25.5Z', '2002-09-10T23:08:25.500Z'],
    ['2002-09-10T23:08:25.123456789Z', '2002-09-10T23:08:25.123Z'],
    ['2024-02-29T00:00:00+14:00', '2024-02-28T10:00:00.000Z'],
    ['2000-02-29T12:00:00+05:30', '2000-02-29T06:30:00.000Z'],
    ['2023-12-31T24:00:00Z', '2024-01-01T00:00:00.000Z'],
    ['0050-01-01T00:00:00Z', '0050-01-01T00:00:00.000Z'],
  ])('reads %s', (text, same) => {
    expect(formatDateTime(parseDateTime(text)!)).toBe(same);
  });

  it.each([
    '',
    'now',
    '2002-09-10',
    '2002-09-10T23:08:25',
    '20020910T23:08:25',
    '2002-09-10 23:08:25Z',
    '2002-09-10t23:08:25z',
    '2002-09-10T23:08Z',
    '2002-9-10T23:08:25Z',
    '02-09-10T23:08:25Z',
    '2002-13-10T23:08:25Z',
    '2002-00-10T23:08:25Z',
    '2002-02-29T23:08:25Z',
    '1900-02-29T23:08:25Z',
    '2002-04-31T23:08:25Z',
    '2002-09-00T23:08:25Z',
    '2002-09-10T24:00:01Z',
    '2002-09-10T24:00:00.001Z',
    '2002-09-10T25:00:00Z',
    '2002-09-10T23:60:25Z',
    '2002-09-10T23:08:60Z',
    '2002-09-10T23:08:25.Z',
    '2002-09-10T23:08:25+0200',
    '2002-09-10T23:08:25+14:01',
    '2002-09-10T23:08:25+02:60',
    '2002-09-10T23:08:25Z\n',
    ' 2002-09-10T23:08:25Z',
    '\u0662002-09-10T23:08:25Z',
  ])('refuses %j', (text) => {
    expect(parseDateTime(text)).toBeUndefined();
  });
});

it('offsets from UTC are written with sign, hours and minutes (XEP-0082 3.2)', () => {
  expect([0, 120, -210, 825].map(formatOffset)).toEqual(['Z', '+02:00', '-03:30', '+13:45']);
});

describe('delay (XEP-0203)', () => {
  it('says when, by whom and why', () => {
    const at = Date.UTC(2002, 8, 10, 23, 8, 25);
    const delay = delayElement(at, 'capulet.com', 'Offline Storage');
    expect(delay.toXml()).toBe(
      "<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25.000Z'>Offline Storage</delay>",
    );
    expect(delayedSince(el('message', null, {}, delay))).toBe(at);
    expect(delayElement(at, 'capulet.com').children).toEqual([]);
  });

  it('is no delay without a time that can be read', () => {
    expect(delayedSince(el('message', null))).toBeUndefined();
    expect(delayedSince(el('message', null, {}, el('delay', 'urn:xmpp:delay', { stamp: 'soon' })))).toBeUndefined();
  });
});
