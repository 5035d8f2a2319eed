// The HTTP side of BOSH (XEP-0124 4): responses that pages of any origin may read, and request bodies of bounded size.
import type { IncomingMessage, ServerResponse } from 'node:http';

/** XEP-0124 6.1: what a client gets that asks for nothing else. */
export const XML_TYPE = 'text/xml; charset=utf-8';

const headers = {
  'access-control-allow-origin': '*',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  // clients choose the type (XEP-0124 6.1): shown as a page, nothing of what others wrote may run
  'content-security-policy': "default-src 'none'; sandbox",
};

/** What browsers are told before they send XML from pages of another origin; for a day. */
const preflight = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'POST, OPTIONS',
  'access-control-allow-headers': 'Content-Type',
  'access-control-max-age': '86400',
};

/** Answers a request; never in chunks, which intermediaries may keep back (XEP-0124 4). */
export function respond(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { ...headers, 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** Where the response to a request goes. */
export interface BoshReply {
  /** It was given. */
  readonly isGiven: boolean;
  give(status: number, type: string, body: string): void;
  /** Ends the connection that waits for it; whoever is there sends the request again. */
  drop(): void;
  /** Calls back when it cannot be given any more, and was not. */
  onLost(fn: () => void): void;
}

/** The response to a request that came to this node. */
export class HttpReply implements BoshReply {
  private readonly response: ServerResponse;

  constructor(response: ServerResponse) {
    this.response = response;
  }

  get isGiven(): boolean {
    return this.response.writableEnded;
  }

  give(status: number, type: string, body: string): void {
    respond(this.response, status, type, body);
  }

  drop(): void {
    this.response.destroy();
  }

  onLost(fn: () => void): void {
    this.response.on('close', () => {
      if (!this.isGiven) fn();
    });
  }
}

/** Answers whatever is no POST, and what cannot be read; true when that was it. */
export function answerOthers(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method === 'OPTIONS') response.writeHead(204, preflight).end();
  else if (request.method !== 'POST') {
    response.setHeader('allow', 'POST, OPTIONS');
    respond(response, 405, 'text/plain; charset=utf-8', 'This is for XMPP clients: connect with BOSH (XEP-0124).\n');
  } else if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    respond(response, 415, 'text/plain; charset=utf-8', 'Compressed requests are not taken.\n');
  } else return false;
  return true;
}

/** How an upload ended: all of it is there, it is too large, or it will never be whole. */
export type UploadEnd = 'whole' | 'too large' | 'broken';

/** A request's body, as it comes in. */
export class Upload {
  readonly started: number;
  private readonly request: IncomingMessage;
  private chunks: Buffer[] = [];
  private size = 0;
  private isOver = false;

  /**
   * @param limit how many bytes are taken, asked whenever there are more than it said last
   * @param done is called once, with what has come
   */
  constructor(
    request: IncomingMessage,
    now: number,
    limit: (received: Buffer) => number,
    done: (received: Buffer, end: UploadEnd) => void,
  ) {
    this.request = request;
    this.started = now;
    let allowed = 0;
    const finish = (end: UploadEnd): void => {
      if (this.isOver) return;
      this.isOver = true;
      const { received } = this;
      this.chunks = [];
      done(received, end);
    };
    request.on('data', (chunk: Buffer) => {
      if (this.isOver) return;
      this.chunks.push(chunk);
      this.size += chunk.length;
      if (this.size <= allowed) return;
      allowed = limit(this.received);
      if (this.size > allowed) finish('too large');
    });
    request.on('end', () => finish('whole'));
    request.on('error', () => finish('broken'));
    request.on('close', () => finish('broken'));
  }

  /** Drops the connection of somebody who takes too long. */
  abort(): void {
    this.request.socket.destroy();
  }

  private get received(): Buffer {
    const [first = Buffer.alloc(0)] = this.chunks;
    if (this.chunks.length === 1) return first;
    const all = Buffer.concat(this.chunks);
    this.chunks = [all];
    return all;
  }
}
