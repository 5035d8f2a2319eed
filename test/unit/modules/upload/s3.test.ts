// Who may be slow, and who may not: the storage, or whoever sends and reads.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { DepotUnavailable } from '../../../../src/modules/upload/depot.ts';
import { S3 } from '../../../../src/modules/upload/s3.ts';
import { S3Server } from '../../../kit/s3-server.ts';

const key = { bucket: 'files', accessKey: 'AKIAROMEO', secretKey: 'wherefore', region: 'verona' };
const SILENCE = 100;
const depotAt = (endpoint: string): S3 => {
  const { bucket, region, accessKey, secretKey } = key;
  const settings = {
    endpoint,
    bucket,
    region,
    prefix: '',
    'access-key': accessKey,
    'secret-key': secretKey,
    'path-style': true,
  };
  return new S3({ settings, host: 'verona.test', clock: systemClock, silence: SILENCE });
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('whoever sends or reads may pause for longer than the storage may be silent', async () => {
  await using storage = await S3Server.start(key);
  const depot = depotAt(storage.endpoint);
  const half = Buffer.alloc(4 * 2 ** 20, 'a');
  async function* slowly(): AsyncGenerator<Uint8Array> {
    yield half;
    await pause(4 * SILENCE);
    yield half;
  }
  await depot.put('file', slowly(), 2 * half.length);
  expect([...storage.objects.values()].map(({ length }) => length)).toEqual([2 * half.length]);
  const body = await depot.open('file', 2 * half.length, { start: 0, end: 2 * half.length - 1 });
  await pause(4 * SILENCE);
  let length = 0;
  for await (const chunk of body!) length += (chunk as Buffer).length;
  expect(length).toBe(2 * half.length);
});

test('storage that takes a file and says nothing is not waited for', async () => {
  const silent = createServer((request) => void request.resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const depot = depotAt(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
  async function* file(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('abc');
  }
  await expect(depot.put('file', file(), 3)).rejects.toThrow(DepotUnavailable);
  await expect(depot.open('file', 3, { start: 0, end: 2 })).rejects.toThrow(DepotUnavailable);
  silent.closeAllConnections();
  silent.close();
});
