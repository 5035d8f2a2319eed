// What goes wrong, in the form that tools for Prosody read: the condition of a stanza error, with a name of the tool's own where it has one.
import { CommandError, type CommandErrorCode } from '../../core/commands.ts';
import { WebRefusal, type WebReply } from '../../core/web.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { type Condition, StanzaError } from '../../xmpp/errors.ts';

const OWN = 'https://prosody.im/protocol/errors';

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly condition: Condition;
  /** What the portal has a sentence of its own for. */
  readonly special: string | undefined;
  constructor(condition: Condition, text: string, special?: string) {
    super(text);
    this.condition = condition;
    this.special = special;
  }
}

/** The status that goes with a condition (as XEP-0086 had it). */
const statusOf: Partial<Record<Condition, number>> = {
  'bad-request': 400,
  'not-authorized': 401,
  forbidden: 403,
  'item-not-found': 404,
  'not-allowed': 405,
  'not-acceptable': 406,
  conflict: 409,
  'policy-violation': 422,
  'resource-constraint': 503,
  'feature-not-implemented': 501,
  'service-unavailable': 503,
};

const conditionOf: Readonly<Record<CommandErrorCode, Condition>> = {
  'bad-arguments': 'bad-request',
  forbidden: 'forbidden',
  'not-found': 'item-not-found',
  'unknown-command': 'item-not-found',
  exists: 'conflict',
  refused: 'policy-violation',
  failed: 'internal-server-error',
  'not-running': 'service-unavailable',
};

/** Undefined for what is none of the client's business. */
export function apiErrorOf(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  if (error instanceof CommandError) return new ApiError(conditionOf[error.code], error.message);
  if (error instanceof StanzaError) return new ApiError(error.condition, error.message);
  if (error instanceof StorageUnavailable)
    return new ApiError('resource-constraint', 'The database does not answer just now');
  return undefined;
}

export function renderApiError({ condition, message, special }: ApiError): WebReply {
  const code = statusOf[condition] ?? 500;
  const kind =
    code === 503 ? 'wait' : code === 400 || code === 406 ? 'modify' : code === 401 || code === 403 ? 'auth' : 'cancel';
  const extra = special === undefined ? {} : { extra: { namespace: OWN, condition: special } };
  return json(code, { type: 'error', code, error: { type: kind, condition, text: message, ...extra } });
}

export const json = (status: number, value: unknown): WebReply => ({
  status,
  type: 'application/json',
  body: JSON.stringify(value),
});

/** The longest body in JSON, in bytes. */
const BODY = 256 * 1024;

/** @throws ApiError, WebRefusal */
export async function readJson(request: {
  read(limit: number): Promise<Buffer>;
}): Promise<Readonly<Record<string, unknown>>> {
  const text = (await request.read(BODY)).toString('utf8');
  try {
    const value: unknown = text === '' ? {} : JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    if (error instanceof WebRefusal) throw error;
  }
  throw new ApiError('bad-request', 'Invalid JSON submitted');
}
