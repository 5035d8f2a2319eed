// XEP-0363 4 to 6: somebody asks for a slot. Whether there is one, and why not.
import type { Clock } from '../../base/clock.ts';
import { Turns } from '../../base/turns.ts';
import type { UploadSettings } from '../../config/upload.ts';
import { type Element, el } from '../../xml/element.ts';
import { formatDateTime, parseDateTime } from '../../xmpp/datetime.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Depot, DepotUnavailable } from './depot.ts';
import type { Ids } from './ids.ts';
import { fileName, parseType } from './names.ts';
import { DAY, type FileRow, isLapsed, type Purpose, purposes, type Shelf, type Shelved, takesRoom } from './shelf.ts';

/** Slots of one account that were not used yet, and files that it has; so that nobody fills tables with what has no bytes. */
const MOST_OPEN = 100;
const MOST_FILES = 10_000;

/** What somebody wants to send. */
export interface Wanted {
  readonly name: string;
  readonly size: number;
  /** The empty text where it was not said. */
  readonly type: string;
  readonly purpose: Purpose;
  /** Milliseconds since 1970. */
  readonly expireBefore: number | undefined;
}

/** @throws StanzaError */
export function readRequest(request: Element): Wanted {
  const { filename, size = '', 'content-type': given = '' } = request.attrs;
  if (filename === undefined || filename === '') throw bad('a file has a name');
  if (!/^[0-9]{1,16}$/.test(size) || Number(size) === 0) throw bad('the size is a number of bytes');
  const type = given === '' ? '' : parseType(given);
  if (type === undefined) throw bad('that is no media type');
  const asked = request.elements().filter(({ ns }) => ns === NS.uploadPurpose);
  if (asked.length > 1) throw bad('a file is for one purpose');
  const [element] = asked;
  const purpose = element === undefined ? 'message' : purposes.find((one) => one === element.name);
  if (purpose === undefined) throw new StanzaError('feature-not-implemented', 'files are not for that here');
  return {
    name: fileName(filename),
    size: Number(size),
    type,
    purpose,
    expireBefore: purpose === 'ephemeral' ? readEnd(element!) : undefined,
  };
}

function readEnd(element: Element): number {
  const at = parseDateTime(element.attrs['expire-before'] ?? '');
  if (at === undefined) throw bad('it has to be said when the file is to expire');
  return at;
}

const bad = (text: string): StanzaError => new StanzaError('bad-request', text);

export interface SlotParts {
  readonly shelf: Shelf;
  readonly depot: Depot;
  readonly ids: Ids;
  readonly clock: Pick<Clock, 'now'>;
  readonly settings: UploadSettings;
}

export class Slots {
  private readonly parts: SlotParts;
  private readonly turns = new Turns<string>();

  constructor(parts: SlotParts) {
    this.parts = parts;
  }

  /** @throws StanzaError where there is none; what was asked for stands beside the error */
  async give(user: string, request: Element): Promise<Shelved> {
    try {
      const wanted = readRequest(request);
      this.check(wanted);
      return await this.turns.run(user, () => this.place(user, wanted));
    } catch (thrown) {
      const error = thrown instanceof DepotUnavailable ? full('files cannot be kept just now', undefined) : thrown;
      if (!(error instanceof StanzaError)) throw error;
      const { condition, text, type, extra } = error;
      throw new StanzaError(condition, text, { type, beside: request, ...(extra && { extra }) });
    }
  }

  /** What is wrong with it, whoever asks. */
  private check({ size, purpose, expireBefore }: Wanted): void {
    const { settings, clock } = this.parts;
    if (purpose === 'permanent' && !settings.permanent) {
      throw new StanzaError('feature-not-implemented', 'files are not permanent here');
    }
    const most = mostBytes(settings, purpose);
    if (size > most) {
      const extra = el('file-too-large', NS.upload, undefined, el('max-file-size', NS.upload, undefined, String(most)));
      throw new StanzaError('not-acceptable', `File too large. The maximum file size is ${most} bytes`, { extra });
    }
    if (expireBefore !== undefined && expireBefore <= clock.now()) throw bad('it would have expired already');
  }

  private async place(user: string, wanted: Wanted): Promise<Shelved> {
    const { shelf, depot, ids, clock, settings } = this.parts;
    const now = clock.now();
    const rows = [...(await shelf.all(user)).values()];
    checkQuotas(rows, wanted, settings, now);
    const { 'host-quota': most } = settings;
    // what was asked for and never sent is not to take the room of others until it is swept
    if (most > 0 && rows.some((row) => isLapsed(row, now))) await shelf.sweep(user);
    if (most > 0 && (await shelf.total()) + wanted.size > most)
      throw full('there is no room for more files here', undefined);
    if (!(await depot.hasRoom(wanted.size))) throw full('there is no room for more files here', undefined);
    const { name, size, type, purpose } = wanted;
    const expires = expiryOf(settings, wanted, now);
    const slot: Shelved = {
      user,
      id: ids.mint(),
      row: {
        name,
        type,
        size,
        purpose,
        state: 'asked',
        at: now,
        until: now + settings['slot-lifetime'],
        ...(Number.isFinite(expires) && { expires }),
      },
    };
    await shelf.add(slot);
    return slot;
  }
}

/** Of one file, for a purpose. */
export function mostBytes(settings: UploadSettings, purpose: Purpose): number {
  const { 'max-file-size': most, profile } = settings;
  return purpose === 'profile' ? Math.min(most, profile['max-file-size']) : most;
}

function expiryOf(settings: UploadSettings, { purpose, expireBefore }: Wanted, now: number): number {
  if (purpose === 'permanent') return Number.POSITIVE_INFINITY;
  const usual = now + (purpose === 'profile' ? settings.profile.retention : settings.retention);
  return Math.min(usual, expireBefore ?? usual);
}

/**
 * Files for profiles have a quota of their own: an avatar does not go because somebody sends films.
 * @throws StanzaError `resource-constraint`, with the time from when on there is room again, where that is known
 */
function checkQuotas(rows: readonly FileRow[], wanted: Wanted, settings: UploadSettings, now: number): void {
  const isAlike = ({ purpose }: FileRow): boolean => (purpose === 'profile') === (wanted.purpose === 'profile');
  const kept = rows.filter((row) => takesRoom(row, now));
  const quota = wanted.purpose === 'profile' ? settings.profile.quota : settings.quota;
  if (quota > 0) {
    if (wanted.size > quota) throw full('the file is larger than all files may be together', undefined);
    const freed = kept.filter(isAlike).map((row) => ({ bytes: row.size, at: freedAt(row) }));
    checkSum(
      freed,
      quota - wanted.size,
      'there is no room for more files of yours: delete some, or wait until they expire',
    );
  }
  const daily = settings['daily-quota'];
  if (daily > 0) {
    if (wanted.size > daily) throw full('the file is larger than what may be sent in a day', undefined);
    const today = rows.filter((row) => row.at > now - DAY && (row.storedAt !== undefined || takesRoom(row, now)));
    const left = today.map((row) => ({ bytes: row.size, at: row.at + DAY }));
    checkSum(left, daily - wanted.size, 'you have sent as much as is possible in a day');
  }
  const open = kept.filter(({ state }) => state === 'asked').map(({ until }) => ({ bytes: 1, at: until }));
  checkSum(open, MOST_OPEN - 1, 'use the slots that you have asked for first');
  const all = rows.filter((row) => !isLapsed(row, now)).map((row) => ({ bytes: 1, at: freedAt(row) }));
  checkSum(all, MOST_FILES - 1, 'you have too many files');
}

/** When it takes no more room. */
function freedAt({ state, until, expires, at }: FileRow): number {
  if (state === 'asked') return until;
  return state === 'gone' ? at + DAY : (expires ?? Number.POSITIVE_INFINITY);
}

/** @throws StanzaError where all together are more than `most`; with the time at which enough of them are gone */
function checkSum(all: readonly { readonly bytes: number; readonly at: number }[], most: number, text: string): void {
  let sum = all.reduce((total, { bytes }) => total + bytes, 0);
  if (sum <= most) return;
  for (const { bytes, at } of [...all].sort((one, other) => one.at - other.at)) {
    sum -= bytes;
    if (sum <= most) throw full(text, Number.isFinite(at) ? at : undefined);
  }
}

function full(text: string, at: number | undefined): StanzaError {
  // a time on the second, and not before there is room
  const stamp = at === undefined ? undefined : formatDateTime(Math.ceil(at / 1000) * 1000);
  const extra = stamp === undefined ? undefined : el('retry', NS.upload, { stamp });
  return new StanzaError('resource-constraint', text, extra && { extra });
}
