// Pages of other web sites that may use the interface (the CORS protocol of the Fetch standard): those that are named, and no others.
import type { WebReply, WebRequest } from '../../core/web.ts';

export interface CrossOrigin {
  /** An answer, with leave to read it where the page has it. */
  allow(request: WebRequest, reply: WebReply): WebReply;
  /** Answers the question whether a page may send what it wants to. */
  preflight(request: WebRequest): WebReply;
}

/** How long a browser may remember the answer, in seconds. */
const REMEMBERED = 600;

export function crossOrigin(origins: readonly string[]): CrossOrigin {
  const known = new Set(origins.map((url) => new URL(url).origin));
  const granted = (request: WebRequest): Record<string, string> => {
    const { origin } = request.headers;
    return origin === undefined || !known.has(origin) ? {} : { 'access-control-allow-origin': origin };
  };
  return {
    allow(request, reply) {
      if (known.size === 0) return reply;
      const leave = granted(request);
      return { ...reply, headers: { ...reply.headers, vary: 'origin', ...leave } };
    },
    preflight(request) {
      const leave = granted(request);
      const rest = {
        'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
        'access-control-allow-headers': 'authorization, content-type, idempotency-key',
        'access-control-max-age': String(REMEMBERED),
      };
      return {
        status: 204,
        headers: { vary: 'origin', ...leave, ...('access-control-allow-origin' in leave ? rest : {}) },
      };
    },
  };
}
