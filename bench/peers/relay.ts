// A relay that knows nothing of XMPP but the few answers the load generator waits for: measured like a server, it shows
// what sockets alone cost on this machine, and how much load the generator can make before it is itself the limit.

import { createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { forkScript } from '../load/fork.ts';
import { LOOPBACK, type Peer } from './peer.ts';

const SCRIPT = fileURLToPath(import.meta.url);
const HEADER =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>";
const STREAM_OPEN = /<stream:stream[^>]*>/;

export const relay: Peer = {
  name: 'relay',
  canFederate: false,

  async version() {
    return 'sockets only';
  },

  async start({ domain }) {
    const child = forkScript(new URL(import.meta.url), ['serve', domain]);
    const port = await new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve(message as number));
      child.once('exit', (code) => reject(new Error(`the relay ended with ${code}`)));
    });
    const stop = async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.disconnect();
      await ended;
    };
    return { host: LOOPBACK, port, directTlsPort: 0, pids: [child.pid!], stop };
  },
};

function serve(domain: string): void {
  const users = new Map<string, Socket>();
  const server = createServer({ noDelay: true }, (socket) => welcome(socket, domain, users));
  server.listen(0, LOOPBACK, 1024, () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') process.send!(address.port);
  });
  process.once('disconnect', () => process.exit(0));
}

function welcome(socket: Socket, domain: string, users: Map<string, Socket>): void {
  let text = '';
  let user = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (text.includes('<message')) text = pass(text, users);
    else if (text.includes('</stream:stream>')) socket.end('</stream:stream>');
    else if (STREAM_OPEN.test(text)) {
      const feature = user === '' ? '<mechanisms/>' : '<bind/>';
      answer(`${HEADER}<stream:features>${feature}</stream:features>`);
    } else if (text.includes('</auth>')) {
      const response = />([^<]*)<\/auth>/.exec(text)?.[1] ?? '';
      user = Buffer.from(response, 'base64').toString().split('\0')[1] ?? '';
      users.set(`${user}@${domain}`, socket);
      answer('<success/>');
    } else if (text.includes('</bind></iq>')) {
      answer(`<iq type='result' id='bench-bind'><bind><jid>${user}@${domain}/bench</jid></bind></iq>`);
    } else if (text.includes('bench-roster')) answer("<iq type='result' id='bench-roster'/>");
    else if (text.includes('<presence/>')) answer('<presence/>');
  });

  function answer(xml: string): void {
    text = '';
    socket.write(xml);
  }
}

/** Passes on every complete message and returns what is left over. */
function pass(text: string, users: ReadonlyMap<string, Socket>): string {
  let start = 0;
  for (let end = text.indexOf('</message>'); end >= 0; end = text.indexOf('</message>', start)) {
    end += '</message>'.length;
    const to = text.indexOf("to='", start) + 4;
    const jid = text.slice(to, text.indexOf("'", to)).split('/', 1)[0]!;
    users.get(jid)?.write(text.slice(start, end), 'latin1');
    start = end;
  }
  return text.slice(start);
}

if (process.argv[2] === 'serve' && process.argv[1] === SCRIPT) serve(process.argv[3]!);
