// What a message costs in the archives of its two parties: CPU of PostgreSQL and of Node, bytes, and searches.
// `npx tsx bench/micro/archive.ts [embedded]`: with the machine's own PostgreSQL, or the embedded one. Linux only (/proc).
import { randomInt, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { silent } from '../../src/base/log.ts';
import type { ArchiveStore, LogStore } from '../../src/storage/ports.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { createEmbedded } from '../../src/storage/postgres/embedded.ts';
import { archive, log, type Opened } from '../../src/storage/specs.ts';
import { startPostgres } from '../../test/kit/postgres.ts';

const accounts = 5000;
const before = 40_000;
const rounds = 5;
const searched = 100_000;
const domain = 'chat.example.org';
const vocabulary = readFileSync(new URL('../../docs/decisions.md', import.meta.url), 'utf8').split(/[^\p{L}]+/u);

interface Message {
  readonly from: string;
  readonly to: string;
  readonly id: string;
  readonly xml: string;
}

/** 500 characters, with 170 of text. */
function message(): Message {
  const sender = randomInt(accounts);
  const [from, to, id] = [`user${sender}`, `user${(sender + 1 + randomInt(20)) % accounts}`, randomUUID()];
  const head = `<message xmlns='jabber:client' from='${from}@${domain}/gajim.X' to='${to}@${domain}' type='chat' id='${id}'><body>`;
  const tail = `</body><active xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='${id}'/><request xmlns='urn:xmpp:receipts'/></message>`;
  let text = '';
  while (text.length < 500) text += `${vocabulary[randomInt(vocabulary.length)]} `;
  return { from, to, id, xml: head + text.slice(0, 500 - head.length - tail.length) + tail };
}

const statOf = (pid: number | string): number[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .map(Number);

/** Microseconds of CPU that a server and its processes have had, the ended ones too. */
function cpuOf(postmaster: number): number {
  let ticks = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const stat = statOf(pid);
      if (Number(pid) === postmaster) ticks += stat[11]! + stat[12]! + stat[13]! + stat[14]!;
      else if (stat[1] === postmaster) ticks += stat[11]! + stat[12]!;
    } catch {
      // has ended meanwhile
    }
  }
  return ticks * 10_000;
}

async function start(which: string): Promise<{ config: pg.ClientConfig; stop(): Promise<void> }> {
  if (which !== 'embedded') {
    const postgres = await startPostgres();
    return { config: postgres.config, stop: () => postgres.remove() };
  }
  const folder = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const embedded = await createEmbedded({ dataFolder: folder, log: silent });
  const stop = async (): Promise<void> => {
    await embedded.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { config: embedded.config, stop };
}

const specs = {
  archive: archive({ searchable: (xml) => ({ text: /<body>(.*)<\/body>/s.exec(xml)?.[1] ?? '' }) }),
  log: log<unknown, { with: string }>({ index: ['with'] }),
};

async function main(which: string): Promise<void> {
  const { config, stop } = await start(which);
  const admin = new pg.Client(config);
  await admin.connect();
  const number = async (text: string): Promise<number> => {
    const { rows } = await admin.query<{ n: number }>(`SELECT (${text})::float8 AS n`);
    return rows[0]!.n;
  };
  const postmaster = statOf(await number('pg_backend_pid()'))[1]!;
  const driver = createPostgresDriver({ connection: config });
  const stores = (await driver.open(domain, 'm', specs as never)) as unknown as Opened<typeof specs>;
  const ways = { archive: intoArchive(stores.archive), log: intoLog(stores.log) };
  for (const put of Object.values(ways)) {
    for (let i = 0; i < before; i += 1000) await last(Array.from({ length: 1000 }, message), put);
  }
  await admin.query('CHECKPOINT');

  const figures = new Map<string, { postgres: number[]; node: number[] }>();
  for (let round = 0; round < rounds; round++) {
    for (const batch of [10, 50, 100]) {
      for (const [name, put] of Object.entries(ways)) {
        const messages = Array.from({ length: 5000 }, message);
        const [postgres, node] = [cpuOf(postmaster), process.cpuUsage()];
        for (let i = 0; i < messages.length; i += batch) await last(messages.slice(i, i + batch), put);
        const used = process.cpuUsage(node);
        const key = `${name}, ${2 * batch} rows at once`;
        const figure = figures.get(key) ?? { postgres: [], node: [] };
        figures.set(key, figure);
        figure.postgres.push((cpuOf(postmaster) - postgres) / messages.length);
        figure.node.push((used.user + used.system) / messages.length);
      }
    }
  }
  const median = (all: number[]): string => [...all].sort((a, b) => a - b)[all.length >> 1]!.toFixed(1);
  for (const [key, { postgres, node }] of figures) {
    console.log(`${key}: a message costs PostgreSQL ${median(postgres)} us, Node ${median(node)} us`);
  }
  const rows = await number('SELECT count(*) FROM parley.m_archive');
  const table = await number("SELECT pg_table_size('parley.m_archive')");
  const indexes = await number("SELECT pg_indexes_size('parley.m_archive')");
  console.log(`a row of 500 characters: ${Math.round(table / rows)} bytes, ${Math.round(indexes / rows)} in indexes`);

  const long = Array.from({ length: searched }, message);
  for (let i = 0; i < searched; i += 2000) {
    // (older than what every search looks at anew)
    const at = Date.now() - 3_600_000 + i;
    await last(long.slice(i, i + 2000), ({ to, xml }) =>
      stores.archive.append('searcher', { with: `${to}@${domain}`, resource: '', xml, at }),
    );
  }
  const word = 'certificates';
  for (const text of [word, word, 'the', 'the server', 'certificates database', 'nothing of the kind']) {
    const [from, postgres] = [performance.now(), cpuOf(postmaster)];
    const page = await stores.archive.find('searcher', {
      limit: 50,
      backwards: true,
      search: { text, languages: ['en'] },
    });
    const spent = `${Math.round(performance.now() - from)} ms, PostgreSQL ${(cpuOf(postmaster) - postgres) / 1000} ms`;
    console.log(`"${text}" among ${searched}: ${page?.entries.length} found in ${spent}`);
  }
  const words = await number("SELECT pg_total_relation_size('parley.m_archive_words')");
  console.log(`words of a message that can be searched: ${Math.round(words / searched)} bytes`);
  await driver.close();
  await admin.end();
  await stop();
}

type Put = (message: Message) => { readonly durable: Promise<void> };

/** The rows of a batch are durable when the last one is. */
async function last(messages: readonly Message[], put: Put): Promise<void> {
  let durable: Promise<void> | undefined;
  for (const one of messages) durable = put(one).durable;
  await durable;
}

const intoArchive =
  (store: ArchiveStore): Put =>
  ({ from, to, id, xml }) => {
    const ref = { sender: `${from}@${domain}`, id };
    store.append(from, { with: `${to}@${domain}`, resource: '', xml, ref });
    return store.append(to, { with: `${from}@${domain}`, resource: 'gajim.X', xml, ref });
  };
const intoLog =
  (store: LogStore<unknown, { with: string }>): Put =>
  ({ from, to, id, xml }) => {
    store.append(from, { xml, id, resource: '' }, { with: `${to}@${domain}` });
    return store.append(to, { xml, id, resource: 'gajim.X' }, { with: `${from}@${domain}` });
  };

await main(process.argv[2] ?? 'system');
