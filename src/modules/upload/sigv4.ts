// AWS Signature Version 4, of requests whose body is not part of the signature (TLS protects it): what S3 and what is like it ask for.
import { createHash, createHmac } from 'node:crypto';

export interface S3Key {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** What is signed in the place of the body's hash. */
export const UNSIGNED = 'UNSIGNED-PAYLOAD';

/**
 * The headers of a signed request: those given, and those of the signature.
 * @param url its path as it is sent, encoded by {@link encodePath}
 * @param at now, in milliseconds since 1970
 */
export function signed(
  method: string,
  url: URL,
  given: Readonly<Record<string, string>>,
  { accessKey, secretKey, region }: S3Key,
  at: number,
): Record<string, string> {
  const time = new Date(at).toISOString().replace(/[:-]|\.\d+/g, '');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const headers: Record<string, string> = {
    ...given,
    host: url.host,
    'x-amz-content-sha256': UNSIGNED,
    'x-amz-date': time,
  };
  const names = Object.keys(headers).sort();
  const query = [...url.searchParams]
    .map(([name, value]) => `${encodePart(name)}=${encodePart(value)}`)
    .sort()
    .join('&');
  const request = [
    method,
    url.pathname,
    query,
    ...names.map((name) => `${name}:${headers[name]!.trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    UNSIGNED,
  ].join('\n');
  const hash = createHash('sha256').update(request).digest('hex');
  const key = ['s3', 'aws4_request'].reduce(
    (before, part) => hmac(before, part),
    hmac(hmac(`AWS4${secretKey}`, time.slice(0, 8)), region),
  );
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, hash].join('\n')).toString('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { ...headers, authorization };
}

/** A path as it is signed and sent: each segment encoded once. */
export function encodePath(path: string): string {
  return path.split('/').map(encodePart).join('/');
}

function encodePart(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
