// Dates and times on the wire (XEP-0082, whose profiles are those of XML Schema).

const dateTime = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;

/** The DateTime profile in UTC with milliseconds; `at` is milliseconds since 1970, between the years 0 and 9999. */
export function formatDateTime(at: number): string {
  return new Date(at).toISOString();
}

/** Milliseconds since 1970 of a DateTime; undefined where it is none. Fractions finer than that are cut off. */
export function parseDateTime(text: string): number | undefined {
  const match = dateTime.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const milliseconds = Number((match[7] ?? '').slice(0, 3).padEnd(3, '0'));
  const offset = parseOffset(match[8]!);
  if (offset === undefined || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (minute > 59 || second > 59) return undefined;
  // XML Schema 3.3.7.2, which overrules the XEP (3.2): midnight at the end of a day may be called 24:00:00.
  const endOfDay = hour === 24 && minute === 0 && second === 0 && /^0*$/.test(match[7] ?? '');
  if (hour > 23 && !endOfDay) return undefined;
  // Date.UTC would take the years 0 to 99 for those of the twentieth century.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second, milliseconds);
  return date.getTime() - offset * 60_000;
}

function daysIn(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** A time zone definition for an offset from UTC in minutes, east being positive: `Z`, `+02:00`, `-03:30`. */
export function formatOffset(minutes: number): string {
  if (minutes === 0) return 'Z';
  const digits = (n: number): string => String(n).padStart(2, '0');
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${digits(Math.floor(size / 60))}:${digits(size % 60)}`;
}

// Minutes; at most fourteen hours (XML Schema 3.3.7.2).
function parseOffset(text: string): number | undefined {
  if (text === 'Z') return 0;
  const hours = Number(text.slice(1, 3));
  const minutes = Number(text.slice(4, 6));
  const size = hours * 60 + minutes;
  if (minutes > 59 || size > 14 * 60) return undefined;
  return text.startsWith('-') ? -size : size;
}
