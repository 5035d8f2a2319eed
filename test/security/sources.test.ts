// What a look at the sources tells: secrets come from the system's random numbers, and the server fetches nothing because somebody else says where.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const folder = new URL('../../src/', import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.replaceAll('\\', '/'))
  .map((path) => ({ path, text: readFileSync(new URL(path, folder), 'utf8') }));

/** Files where a pattern is, in order. */
const where = (pattern: RegExp): string[] =>
  files.flatMap(({ path, text }) => (pattern.test(text) ? [path] : [])).sort();

test('numbers that can be guessed are for chance only: which of several to ask, and how long to wait', () => {
  expect(where(/Math\.random/)).toEqual([
    // which client is asked what it can do
    'modules/caps/inquiries.ts',
    // RFC 2782
    'net/dns.ts',
    'net/redis-target.ts',
    'net/redis.ts',
    's2s/dial.ts',
    'storage/postgres/database.ts',
  ]);
});

/** What these hand out lets somebody in, or at something: sessions, tokens, keys, addresses of files, invitations. */
const handsOut =
  /^(auth|c2s)\/|^net\/(bosh|stream)\.ts$|^s2s\/secret\.ts$|^modules\/(invitations|upload|uploads|web-chat|rest-api|register|proxy65|push)\b/;

test('whatever lets somebody in has 72 bits at least that nobody can guess', () => {
  const found = files
    .filter(({ path }) => handsOut.test(path))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/randomBytes\((\d+)\)/g)].map(([, size]) => ({ path, size: Number(size) })),
    );
  expect(found.length).toBeGreaterThan(5);
  expect(found.filter(({ size }) => size < 9)).toEqual([]);
});

/** Who opens connections, and who decides where to. */
const outward: Readonly<Record<string, string>> = {
  'cli/admin-client.ts': 'the socket of the own server',
  'cli/admin-server.ts': 'the socket of the own server',
  'cli/doctor.ts': 'the domains and listeners of the configuration',
  'cli/primary.ts': 'the socket of the own processes',
  'modules/upload/s3.ts': 'the storage that the configuration names',
  'net/dns-client.ts': 'the name servers of the system',
  'net/race.ts': 'the addresses of domains that are spoken with (RFC 6120 3), by their port for servers',
  'net/transport.ts': 'TLS on a connection that is there',
  'net/turn-client.ts': 'the services for calls in the configuration',
};

test('nobody makes the server connect to where it pleases them: each file that opens connections is known, with who decides where to', () => {
  const opens = where(
    /import \{[^}]*\b(?:connect|request|get|createConnection|createSocket|Agent)\b[^}]*\} from 'node:(?:net|tls|http|https|http2|dgram)'|\bfetch\(['"`]|await fetch\(|globalThis\.fetch/,
  );
  expect(opens).toEqual(
    Object.keys(outward)
      .filter((path) => opens.includes(path))
      .sort(),
  );
});
