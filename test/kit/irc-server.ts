// A very small IRC server (RFC 2812), enough for a gateway: people come, join channels and talk.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

interface Guest {
  nick: string;
  readonly channels: Set<string>;
}

export class IrcServer implements AsyncDisposable {
  /** Every line that came. */
  readonly heard: string[] = [];
  private readonly server: Server;
  private readonly guests = new Map<Socket, Guest>();

  private constructor() {
    this.server = createServer((socket) => {
      this.guests.set(socket, { nick: '*', channels: new Set() });
      let rest = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        const lines = `${rest}${text}`.split(/\r?\n/);
        rest = lines.pop() ?? '';
        for (const line of lines) this.take(socket, line);
      });
      socket.on('error', () => {});
      socket.on('close', () => this.guests.delete(socket));
    });
  }

  static async start(): Promise<IrcServer> {
    const irc = new IrcServer();
    irc.server.listen(0, '127.0.0.1');
    await once(irc.server, 'listening');
    return irc;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Somebody else in a channel speaks. */
  say(nick: string, channel: string, text: string): void {
    for (const [socket, { channels }] of this.guests) {
      if (channels.has(channel)) socket.write(`:${nick}!x@irc.test PRIVMSG ${channel} :${text}\r\n`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.guests.keys()) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private take(socket: Socket, line: string): void {
    this.heard.push(line);
    const guest = this.guests.get(socket);
    if (guest === undefined) return;
    const [command = '', argument = ''] = line.split(' ');
    const reply = (text: string): void => void socket.write(`:irc.test ${text}\r\n`);
    switch (command) {
      case 'CAP':
        if (argument !== 'END') reply(`CAP * ${argument === 'REQ' ? 'NAK' : 'LS'} :`);
        return;
      case 'NICK':
        guest.nick = argument;
        return;
      case 'USER':
        reply(`001 ${guest.nick} :Welcome`);
        reply(`376 ${guest.nick} :End of MOTD`);
        return;
      case 'PING':
        reply(`PONG irc.test ${argument}`);
        return;
      case 'JOIN':
        guest.channels.add(argument);
        socket.write(`:${guest.nick}!x@irc.test JOIN ${argument}\r\n`);
        reply(`353 ${guest.nick} = ${argument} :${guest.nick} mercutio`);
        reply(`366 ${guest.nick} ${argument} :End of NAMES`);
    }
  }
}
