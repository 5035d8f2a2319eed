// A web server that has something else at its root, and the server of a test below a path: requests and WebSockets are handed on without it.
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

export class PrefixProxy implements Disposable {
  private readonly server: Server;
  private readonly prefix: string;
  /** Paths that were asked for outside of it. */
  readonly strays: string[] = [];

  private constructor(prefix: string, port: number) {
    const rest = ({ url = '' }: IncomingMessage): string | undefined => {
      if (url.startsWith(`${prefix}/`)) return url.slice(prefix.length);
      this.strays.push(url);
      return undefined;
    };
    const headersFor = ({ headers }: IncomingMessage) => ({ ...headers, 'x-forwarded-for': '192.0.2.1' });
    this.server = createServer((asked, answer) => {
      const path = rest(asked);
      if (path === undefined) {
        answer.writeHead(404).end();
        return;
      }
      const options = { port, host: '127.0.0.1', path, method: asked.method, headers: headersFor(asked) };
      const onwards = request(options, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      });
      onwards.on('error', () => answer.destroy());
      asked.pipe(onwards);
    });
    this.server.on('upgrade', (asked: IncomingMessage, socket, head: Buffer) => {
      const path = rest(asked);
      const onwards = connect(port, '127.0.0.1', () => {
        const lines = Object.entries(headersFor(asked)).map(([name, value]) => `${name}: ${value}\r\n`);
        onwards.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
        onwards.write(head);
        socket.pipe(onwards).pipe(socket);
      });
      for (const one of [onwards, socket]) one.on('error', () => [onwards, socket].map((end) => end.destroy()));
    });
    this.prefix = prefix;
  }

  /** @param prefix the path, such as `/below` */
  static async start(prefix: string, port: number): Promise<PrefixProxy> {
    const proxy = new PrefixProxy(prefix, port);
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** Where it is, with the path. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${this.prefix}`;
  }

  [Symbol.dispose](): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
