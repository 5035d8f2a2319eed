import { expect, test } from 'vitest';
import { readPicture } from '../../../../src/modules/avatars/picture.ts';

const base64 = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('base64');

test('line breaks and missing padding are accepted, and the picture is the same', () => {
  const picture = readPicture(' AAEC\n  AwQ= \r\n', 100);
  expect(picture).toEqual({
    base64: 'AAECAwQ=',
    size: 5,
    hash: '1cf251472d59f8fadeb3ab258e90999d8491be19',
    type: undefined,
  });
});

test.each(['', ' ', '=', 'A', 'AAECA', 'AA-_', 'AAEC=AAE', 'AAEC===', 'ä'])('"%s" is no picture', (text) => {
  expect(() => readPicture(text, 100)).toThrow('a picture is in base64');
});

test('a picture of exactly as many bytes as may be is taken, one more is not', () => {
  expect(readPicture(base64('0123456789'), 10).size).toBe(10);
  expect(() => readPicture(base64('0123456789a'), 10)).toThrow('a picture has 10 bytes at most');
});

test.each([
  ['image/png', '\x89PNG\r\n\x1a\n\0\0\0\rIHDR'],
  ['image/jpeg', '\xff\xd8\xff\xe0\0\x10JFIF'],
  ['image/gif', 'GIF87a\x01'],
  ['image/gif', 'GIF89a\x01'],
  ['image/webp', 'RIFF\x24\0\0\0WEBPVP8 '],
  ['image/avif', '\0\0\0\x1cftypavif'],
  ['image/heic', '\0\0\0\x18ftypheic'],
  ['image/jxl', '\xff\x0a\xfa'],
  ['image/bmp', 'BM\x3a\0\0\0\0\0\0\0\x36'],
  [undefined, '<svg xmlns="http://www.w3.org/2000/svg"/>'],
  [undefined, 'RIFF\x24\0\0\0WAVE'],
  [undefined, '\x89PNG'],
])('%s is known by its first bytes', (type, data) => {
  expect(readPicture(base64(data), 1000).type).toBe(type);
});
