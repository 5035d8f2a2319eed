// What goes wrong, as RFC 9457 has it told: one object with a status, a title and a sentence.
import { STATUS_CODES } from 'node:http';
import { ConfigError } from '../../config/problems.ts';
import { CommandError, type CommandErrorCode } from '../../core/commands.ts';
import { WebRefusal, type WebReply } from '../../core/web.ts';
import { StorageUnavailable, UnstorableValue } from '../../storage/errors.ts';

export const PROBLEM = 'application/problem+json';

type Headers = Readonly<Record<string, string>>;

/** A refusal with a code of its own for programs. */
export class Problem extends WebRefusal {
  readonly code: string;
  constructor(status: number, code: string, detail: string, headers: Headers = {}) {
    super(status, detail, headers);
    this.code = code;
  }
}

/** How the refusals of commands are told by status. */
const statusOf: Readonly<Record<CommandErrorCode, number>> = {
  'bad-arguments': 400,
  forbidden: 403,
  'not-found': 404,
  'unknown-command': 404,
  exists: 409,
  refused: 422,
  failed: 502,
  'not-running': 503,
};

const codeOf: Readonly<Record<number, string>> = {
  400: 'bad-arguments',
  408: 'timeout',
  413: 'too-large',
  415: 'unsupported-type',
};

/** The problem that an error is; undefined for what is none of the client's business. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (error instanceof CommandError) return new Problem(statusOf[error.code], error.code, error.message);
  if (error instanceof StorageUnavailable) {
    return new Problem(503, 'unavailable', 'The database does not answer just now.', { 'retry-after': '10' });
  }
  if (error instanceof UnstorableValue) return new Problem(400, 'bad-arguments', error.message);
  if (error instanceof WebRefusal) {
    return new Problem(error.status, codeOf[error.status] ?? 'refused', error.message, error.headers);
  }
  // settings that are wrong are told to whoever had them read
  if (error instanceof ConfigError) return new Problem(422, 'refused', error.message);
  return undefined;
}

/** RFC 9457 3; `about:blank`: there is no more to it than the status and the code. */
export function renderProblem({ status, code, message, headers }: Problem): WebReply {
  const body = { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail: message, code };
  return { status, type: PROBLEM, headers, body: JSON.stringify(body) };
}
