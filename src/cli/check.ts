// What one look of the doctor's has found.

/** One line. */
export interface Check {
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was looked at, such as `dns example.org`. */
  readonly subject: string;
  readonly message: string;
  /** What to do about it. */
  readonly fix?: string;
}

export const ok = (subject: string, message: string): Check => ({ state: 'ok', subject, message });
export const warn = (subject: string, message: string, fix: string): Check => ({
  state: 'warn',
  subject,
  message,
  fix,
});
export const fail = (subject: string, message: string, fix: string): Check => ({
  state: 'fail',
  subject,
  message,
  fix,
});

/** The checks for people, with a last line that sums up. */
export function renderChecks(checks: readonly Check[]): string {
  const lines = checks.flatMap(({ state, subject, message, fix }) => [
    `${state.padEnd(5)} ${subject}: ${message}`,
    ...(fix === undefined ? [] : [`      fix: ${fix}`]),
  ]);
  const count = (state: Check['state']): number => checks.filter((check) => check.state === state).length;
  return [...lines, '', `${count('ok')} ok, ${count('warn')} warn, ${count('fail')} fail`].join('\n');
}
