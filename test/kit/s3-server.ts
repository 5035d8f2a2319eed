// Storage that speaks S3, as much as files need: PUT, GET with Range, DELETE of objects in one bucket. It checks the signature of every request
// (AWS Signature Version 4) by itself, from the specification, and says of each what was wrong.
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface S3ServerOptions {
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

export class S3Server implements AsyncDisposable {
  readonly objects = new Map<string, Buffer>();
  /** What was refused, and why. */
  readonly refused: string[] = [];
  /** Answers the next requests in the place of what is right: a status and a code. */
  trouble: readonly [status: number, code: string] | undefined;
  private readonly server: Server;
  private readonly options: S3ServerOptions;

  private constructor(options: S3ServerOptions) {
    this.options = options;
    this.server = createServer((request, response) => void this.take(request, response));
  }

  static async start(options: S3ServerOptions): Promise<S3Server> {
    const storage = new S3Server(options);
    await new Promise<void>((resolve) => storage.server.listen(0, '127.0.0.1', resolve));
    return storage;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fail = (status: number, code: string): void => {
      this.refused.push(`${request.method} ${request.url}: ${code}`);
      request.resume();
      response.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`);
    };
    if (this.trouble !== undefined) return fail(...this.trouble);
    const problem = this.checkSignature(request);
    if (problem !== undefined) return fail(403, problem);
    const [, bucket, ...rest] = decodeURIComponent(request.url!.split('?')[0]!).split('/');
    const key = rest.join('/');
    if (bucket !== this.options.bucket) return fail(404, 'NoSuchBucket');
    if (request.method === 'PUT') {
      if (request.headers['content-length'] === undefined) return fail(411, 'MissingContentLength');
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of request) chunks.push(chunk as Buffer);
      } catch {
        return;
      }
      this.objects.set(key, Buffer.concat(chunks));
      response.writeHead(200).end();
      return;
    }
    const object = this.objects.get(key);
    if (request.method === 'DELETE') {
      this.objects.delete(key);
      response.writeHead(204).end();
    } else if (request.method !== 'GET') fail(405, 'MethodNotAllowed');
    else if (object === undefined) fail(404, 'NoSuchKey');
    else {
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      if (range === null) response.writeHead(200, { 'content-length': object.length }).end(object);
      else {
        const part = object.subarray(Number(range[1]), Number(range[2]) + 1);
        response.writeHead(206, { 'content-length': part.length }).end(part);
      }
    }
  }

  /** What is wrong with it; undefined where nothing is. */
  private checkSignature({ method, url, headers, rawHeaders }: IncomingMessage): string | undefined {
    const { accessKey, secretKey, region } = this.options;
    const found =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
        headers.authorization ?? '',
      );
    if (found === null) return 'AuthorizationHeaderMalformed';
    const [, id, date, place, names = '', signature] = found;
    const time = String(headers['x-amz-date']);
    if (id !== accessKey) return 'InvalidAccessKeyId';
    if (place !== region) return 'AuthorizationHeaderMalformed';
    if (!time.startsWith(date!) || !/^\d{8}T\d{6}Z$/.test(time)) return 'RequestTimeTooSkewed';
    const signed = names.split(';');
    if (!signed.includes('host') || signed.join() !== [...signed].sort().join()) return 'SignatureDoesNotMatch';
    const sent = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    // all that is about the storage has to be signed
    if (sent.some((name) => name.startsWith('x-amz-') && !signed.includes(name))) return 'AccessDenied';
    const [path = '', query = ''] = url!.split('?');
    const parameters = query
      .split('&')
      .filter((one) => one !== '')
      .sort()
      .join('&');
    const canonical = `${method}\n${path}\n${parameters}\n${signed
      .map((name) => `${name}:${String(headers[name]).trim()}\n`)
      .join('')}\n${names}\n${headers['x-amz-content-sha256']}`;
    const text = `AWS4-HMAC-SHA256\n${time}\n${date}/${region}/s3/aws4_request\n${createHash('sha256').update(canonical).digest('hex')}`;
    let key: Buffer = Buffer.from(`AWS4${secretKey}`);
    for (const part of [date!, region, 's3', 'aws4_request']) key = createHmac('sha256', key).update(part).digest();
    return createHmac('sha256', key).update(text).digest('hex') === signature ? undefined : 'SignatureDoesNotMatch';
  }
}
