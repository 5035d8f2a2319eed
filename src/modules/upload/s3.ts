// Files in storage that speaks S3. Everything passes through the server: so only it needs to reach the storage, what is served has our
// headers, and what is deleted or has expired is gone at once. (Addresses signed for clients could be used again, and by anybody.)
// Few requests of few kinds: they are signed here (sigv4.ts) instead of by a library larger than the server.
//
// - There is no folder to tidy: what was not sent to its end is not kept there, and what is kept is known here before.
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import type { S3Settings } from '../../config/upload.ts';
import { type ByteRange, type Depot, DepotFull, DepotUnavailable } from './depot.ts';
import { encodePath, type S3Key, signed } from './sigv4.ts';

const SILENCE = 30_000;
/** Of what it says is wrong. */
const LONGEST_ANSWER = 4096;
/** Connections that are kept for later. There are as many as there are requests: nobody waits for somebody who reads slowly. */
const SPARE_SOCKETS = 64;

export interface S3Options {
  readonly settings: S3Settings;
  /** Files of several hosts may be in one bucket. */
  readonly host: string;
  readonly clock: Pick<Clock, 'now'>;
  /** How long the storage may be silent, in milliseconds. */
  readonly silence?: number;
}

export class S3 implements Depot {
  private readonly base: URL;
  private readonly folder: string;
  private readonly key: S3Key;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly agent: HttpAgent;
  private readonly silence: number;

  constructor({ settings, host, clock, silence = SILENCE }: S3Options) {
    this.base = new URL(settings.endpoint);
    const path = this.base.pathname.replace(/\/+$/, '');
    if (!settings['path-style']) this.base.hostname = `${settings.bucket}.${this.base.hostname}`;
    const bucket = settings['path-style'] ? `/${settings.bucket}` : '';
    this.folder = `${path}${bucket}/${settings.prefix}${host}`;
    this.key = {
      accessKey: settings['access-key'],
      secretKey: settings['secret-key'],
      region: settings.region,
    };
    this.clock = clock;
    this.silence = silence;
    const options = { keepAlive: true, maxFreeSockets: SPARE_SOCKETS };
    this.agent = this.base.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, size: number): Promise<void> {
    // a sender may be slow: that is not the storage's silence
    let isOurs = true;
    const request = this.begin('PUT', key, { 'content-length': String(size) }, () => isOurs);
    const answer = answerOf(request);
    // looked at only after the body was sent
    answer.catch(() => {});
    try {
      let length = 0;
      for await (const chunk of body) {
        length += chunk.length;
        if (length > size) break;
        isOurs = false;
        if (!request.write(chunk)) await drained(request);
        isOurs = length < size;
      }
      if (length !== size) throw new Error(`${length} bytes came, and not ${size}`);
      request.end();
    } catch (error) {
      // what is short of what was announced is not kept
      request.destroy();
      throw error;
    }
    await accept(await answer, 200);
  }

  async open(key: string, size: number, { start, end }: ByteRange): Promise<Readable | undefined> {
    const isPart = start > 0 || end < size - 1;
    const request = this.begin('GET', key, isPart ? { range: `bytes=${start}-${end}` } : {});
    request.end();
    const body = await answerOf(request);
    if (body.statusCode === 404) {
      body.resume();
      return undefined;
    }
    if (body.statusCode !== (isPart ? 206 : 200)) throw await problemOf(body);
    // from here on it is whoever reads that may be slow
    request.setTimeout(0);
    return body;
  }

  async remove(key: string): Promise<void> {
    const request = this.begin('DELETE', key, {});
    request.end();
    await accept(await answerOf(request), 200, 204, 404);
  }

  async hasRoom(): Promise<boolean> {
    return true;
  }

  async tidy(): Promise<number> {
    return 0;
  }

  /** @param isExcused whether the storage may be silent just now */
  private begin(
    method: string,
    key: string,
    headers: Readonly<Record<string, string>>,
    isExcused = (): boolean => false,
  ): ClientRequest {
    const url = new URL(this.base);
    url.pathname = encodePath(`${this.folder}/${key}`);
    const options = {
      method,
      agent: this.agent,
      timeout: this.silence,
      headers: signed(method, url, headers, this.key, this.clock.now()),
    };
    const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
    request.on('timeout', () => {
      if (!isExcused()) request.destroy(new Error('it is silent'));
    });
    return request;
  }
}

/** @throws DepotUnavailable */
function answerOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', (error) => reject(unavailable(error.message, error)));
    request.on('close', () => reject(unavailable('the connection broke')));
  });
}

/** Resolves when more may be written. @throws DepotUnavailable when that will never be */
function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      request.off('drain', settle).off('close', gone).off('error', gone).off('response', gone);
      if (error === undefined) resolve();
      else reject(error);
    };
    const gone = (): void => settle(unavailable('it does not take the file'));
    request.on('drain', settle).on('close', gone).on('error', gone).on('response', gone);
    if (request.destroyed) gone();
  });
}

async function accept(answer: IncomingMessage, ...statuses: readonly number[]): Promise<void> {
  if (!statuses.includes(answer.statusCode ?? 0)) throw await problemOf(answer);
  answer.resume();
}

async function problemOf(answer: IncomingMessage): Promise<Error> {
  let text = '';
  for await (const chunk of answer) {
    text += String(chunk);
    if (text.length > LONGEST_ANSWER) break;
  }
  const code = /<Code>(\w{1,60})<\/Code>/.exec(text)?.[1] ?? 'no reason given';
  if (answer.statusCode === 507 || code === 'QuotaExceeded' || code === 'XMinioStorageFull') {
    return new DepotFull(`the storage for files is full (${code})`);
  }
  return unavailable(`it answers ${answer.statusCode}, ${code}`);
}

function unavailable(why: string, cause?: Error): DepotUnavailable {
  return new DepotUnavailable(`the storage for files cannot be used: ${why}`, { cause });
}
