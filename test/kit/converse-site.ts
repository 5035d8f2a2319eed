// A site with nothing but Converse.js, as npm has it.
import { createReadStream } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = dirname(fileURLToPath(import.meta.resolve('converse.js/dist/converse.min.js')));
const types: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  css: 'text/css',
  json: 'application/json',
  wasm: 'application/wasm',
};
const common = {
  authentication: 'login',
  discover_connection_methods: false,
  assets_path: '/dist/',
  allow_non_roster_messaging: true,
  play_sounds: false,
  i18n: 'en',
  whitelisted_plugins: ['probe'],
};

export class ConverseSite implements Disposable {
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
  }

  static async start(): Promise<ConverseSite> {
    const server = createServer(({ url = '/' }, response) => {
      const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
      if (pathname === '/') {
        response.setHeader('content-type', 'text/html; charset=utf-8');
        response.end(pageOf(searchParams.get('settings') ?? '{}'));
        return;
      }
      response.setHeader('content-type', types[pathname.split('.').at(-1) ?? ''] ?? 'application/octet-stream');
      const file = createReadStream(join(dist, normalize(pathname).replace(/^\/dist/, '')));
      file.on('error', () => response.writeHead(404).end());
      file.pipe(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new ConverseSite(server);
  }

  /** The page on which it runs with these settings besides the common ones: `api` is what plugins have, `connections` counts them. */
  url(settings: object): string {
    const { port } = this.server.address() as AddressInfo;
    const query = new URLSearchParams({ settings: JSON.stringify({ ...common, ...settings }) });
    return `http://127.0.0.1:${port}/?${query}`;
  }

  [Symbol.dispose](): void {
    this.server.close();
  }
}

function pageOf(settings: string): string {
  return `<!doctype html><html><head><meta charset="utf-8">
<link rel="stylesheet" href="/dist/converse.min.css"></head>
<body><script type="module">
import converse from "/dist/converse.min.js";
window.connections = 0;
converse.plugins.add('probe', { initialize() {
  window.api = this._converse.api;
  for (const event of ['connected', 'reconnected']) api.listen.on(event, () => connections++);
} });
converse.initialize(${settings});
</script></body></html>`;
}
