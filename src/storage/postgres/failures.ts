// What PostgreSQL's and the socket's errors mean for us (SQLSTATE: PostgreSQL manual, appendix A).
import { StorageUnavailable, UnstorableValue } from '../errors.ts';

const code = (error: unknown): string => String((error as { code?: unknown } | undefined)?.code ?? '');

const systemError = /^(E[A-Z_]{3,}|ERR_\w+)$/;
// pg's own errors have no code
const pgError =
  /^(Connection terminated|timeout e|Query read timeout|Client (was closed|has encountered)|Cannot use a pool|The server does not)/;

/** Whether the connection is gone, so that what was asked may or may not have been done. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof StorageUnavailable) return false;
  const state = code(error);
  // 08: connection exception; 57P: shut down, crashed, cannot connect now
  return state.startsWith('08') || state.startsWith('57P') || systemError.test(state) || pgError.test(error.message);
}

/** Whether the same statement may succeed later: lost, out of resources, cancelled by a timeout, deadlocked, read-only for now. */
export function isPassing(error: unknown): boolean {
  return isLost(error) || error instanceof StorageUnavailable || /^(53|57|40|25006|55P03)/.test(code(error));
}

// what pg says where the server asks for a password and it was given none
const noPassword = /client password must be a string/;

/** Whether two waited for each other, and this one was chosen to give way: none of it was done. */
export const isDeadlock = (error: unknown): boolean => code(error) === '40P01';

/** Whether the server is there but will not have us: user, password, or name of the database. Only the operator can help. */
export const isRejected = (error: unknown): boolean =>
  /^(28|3D)/.test(code(error)) || (error instanceof Error && noPassword.test(error.message));

/** Whether the server, or what this user may have of it, has no connection left. */
export const isFull = (error: unknown): boolean => code(error) === '53300';

/** What the layers above get to see. */
export function translate(error: unknown): unknown {
  if (error instanceof StorageUnavailable || error instanceof UnstorableValue) return error;
  if (isPassing(error)) {
    return new StorageUnavailable(`the database does not answer: ${describe(error)}`, { cause: error });
  }
  // 22P05 and 22021: characters that text cannot hold; 54000: a key that no index can hold
  if (['22P05', '22021', '54000', '22P02'].includes(code(error))) {
    return new UnstorableValue(`the database refuses the value: ${describe(error)}`, { cause: error });
  }
  return error;
}

/** One line, without what the statement was about. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // several addresses tried: the message itself is empty
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : undefined;
  if (first !== undefined) return describe(first);
  if (noPassword.test(error.message)) return 'it asks for a password, and was given none';
  const state = code(error);
  return state !== '' && !error.message.includes(state) ? `${error.message} (${state})` : error.message;
}
