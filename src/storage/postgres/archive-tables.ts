// The tables of a message archive, and how its rows get there.
//
// A row holds a message for one of those who keep it; two indexes find it by archive and by conversation. `id` is the time too.
// Beside the messages: who has an archive, and how far it can be searched; and the words of those who have searched.
import type pg from 'pg';
import { plainArray, textArray } from './arrays.ts';
import type { Target } from './batch.ts';
import { copyField, copyIn } from './copy.ts';
import type { Database } from './database.ts';
import { qualified, quoted, schema, type TableShape } from './tables.ts';

/** Every archive's secret, from which its keys are made. */
export const secretsTable = `${schema}.archive_secrets`;

export interface ArchiveTables {
  readonly messages: string;
  readonly owners: string;
  readonly words: string;
}

export function archiveTables(shape: Pick<TableShape, 'name'>): ArchiveTables {
  const named = (suffix: string): string => `${schema}.${quoted(shape.name + suffix)}`;
  return { messages: named(''), owners: named('_owners'), words: named('_words') };
}

/** The statements that make them. */
export function createArchive(shape: TableShape): string[] {
  const { messages, owners, words } = archiveTables(shape);
  return [
    // fixed widths first, so that nothing is lost to alignment
    `CREATE TABLE ${messages} (owner bigint NOT NULL, talk bigint NOT NULL, id uuid NOT NULL, ref bigint,
      resource text COLLATE "C" NOT NULL, xml text COLLATE "C" NOT NULL, PRIMARY KEY (owner, id))`,
    // with the reference at its end it answers for that too, without a look at the rows
    `CREATE INDEX ${quoted(`${shape.name}_talk`)} ON ${qualified(shape)} (talk, id, ref)`,
    // lz4 packs and unpacks large messages faster; not every server has it, and those before 14 have no choice
    `DO $$ BEGIN EXECUTE 'ALTER TABLE ${messages} ALTER COLUMN xml SET COMPRESSION lz4';
      EXCEPTION WHEN OTHERS THEN NULL; END $$`,
    `CREATE TABLE ${owners} (host text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL, key bigint NOT NULL,
      indexed uuid, languages text[] NOT NULL DEFAULT '{}', PRIMARY KEY (host, owner))`,
    `CREATE INDEX ${quoted(`${shape.name}_owners_key`)} ON ${owners} (key)`,
    `CREATE TABLE ${words} (owner bigint NOT NULL, talk bigint NOT NULL, id uuid NOT NULL, ref bigint, replaces bigint,
      words bigint[] NOT NULL, PRIMARY KEY (owner, id))`,
    // what is not yet sorted in is read by every search of everybody: enough to sort in some hundred messages at once, no more
    `CREATE INDEX ${quoted(`${shape.name}_words_words`)} ON ${words} USING gin (words) WITH (gin_pending_list_limit = 1024)`,
    `CREATE INDEX ${quoted(`${shape.name}_words_ref`)} ON ${words} (ref) WHERE ref IS NOT NULL`,
    `CREATE INDEX ${quoted(`${shape.name}_words_replaces`)} ON ${words} (replaces) WHERE replaces IS NOT NULL`,
    `CREATE TABLE IF NOT EXISTS ${secretsTable} (name text PRIMARY KEY, secret text NOT NULL)`,
    `INSERT INTO ${secretsTable} VALUES ('${shape.name}', gen_random_uuid()::text || gen_random_uuid()::text)`,
  ];
}

/** A message on its way; numbers as text. */
export interface ArchiveRow {
  readonly host: string;
  readonly ownerName: string;
  readonly owner: string;
  readonly talk: string;
  readonly uuid: string;
  readonly ref: string | undefined;
  readonly resource: string;
  readonly xml: string;
}

/** What the writer has to know of the time. */
export interface LateRows {
  /** The first of the uuids that come too late for a search which has gone on already. */
  floor(): string;
  /** In milliseconds. */
  now(): number;
}

// as an owner's row may be removed by another node, we make sure again now and then
const sureFor = 600_000;
const mostSure = 100_000;

/** Writes messages, and before the first of an owner that it is an owner. */
export function createArchiveTarget(
  shape: TableShape,
  database: Database,
  late: LateRows,
): Target<ArchiveRow> & {
  forget(owner: string): void;
} {
  const { messages, owners } = archiveTables(shape);
  const columns = 'owner, talk, id, ref, resource, xml';
  const copy = `COPY ${messages} (${columns}) FROM STDIN`;
  const insert =
    `INSERT INTO ${messages} (${columns}) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], ` +
    '$4::bigint[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING';
  const enrol =
    `INSERT INTO ${owners} (host, owner, key) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) ` +
    'ON CONFLICT DO NOTHING';
  // also where it changes nothing: a search that is going on must see that somebody was here. (Before the first one: from the start.)
  const resume =
    `UPDATE ${owners} AS o SET indexed = CASE WHEN l.id < o.indexed THEN l.id ELSE o.indexed END ` +
    'FROM unnest($1::bigint[], $2::uuid[]) AS l (owner, id) WHERE o.key = l.owner';
  const sure = new Map<string, number>();

  const run = (client: pg.Client, text: string, values: string[]): Promise<unknown> =>
    client.query({ name: database.nameOf(text), text, values });

  async function enrolOwners(client: pg.Client, rows: readonly ArchiveRow[]): Promise<void> {
    const now = late.now();
    const unsure = new Map<string, ArchiveRow>();
    for (const row of rows) {
      const since = sure.get(row.owner);
      if (since === undefined || now - since > sureFor) unsure.set(row.owner, row);
    }
    if (unsure.size === 0) return;
    const asked = [...unsure.values()];
    await run(client, enrol, [
      textArray(asked, (row) => row.host),
      textArray(asked, (row) => row.ownerName),
      plainArray(asked, (row) => row.owner),
    ]);
    if (sure.size > mostSure) sure.clear();
    for (const row of asked) sure.set(row.owner, now);
  }

  return {
    last: undefined,
    forget: (owner) => sure.delete(owner),
    async write(client, rows, again) {
      await enrolOwners(client, rows);
      if (again) {
        await run(client, insert, [
          plainArray(rows, (row) => row.owner),
          plainArray(rows, (row) => row.talk),
          plainArray(rows, (row) => row.uuid),
          plainArray(rows, (row) => row.ref ?? 'NULL'),
          textArray(rows, (row) => row.resource),
          textArray(rows, (row) => row.xml),
        ]);
      } else {
        let lines = '';
        for (const { owner, talk, uuid, ref, resource, xml } of rows) {
          lines += `${owner}\t${talk}\t${uuid}\t${ref ?? '\\N'}\t${copyField(resource)}\t${copyField(xml)}\n`;
        }
        await copyIn(client, copy, lines);
      }
      const floor = late.floor();
      const missed = new Map<string, string>();
      for (const { owner, uuid } of rows) {
        if (uuid < floor && uuid < (missed.get(owner) ?? floor)) missed.set(owner, uuid);
      }
      if (missed.size === 0) return;
      // (a search goes on after what it is told)
      await run(client, resume, [
        plainArray([...missed.keys()], (owner) => owner),
        plainArray([...missed.values()], (uuid) => before(uuid)),
      ]);
    },
  };
}

/** A uuid between that of a message and those of all messages before it. */
function before(uuid: string): string {
  return (BigInt(`0x${uuid}`) - 1n).toString(16).padStart(32, '0');
}
