// Somebody with the Prose app, told what to do.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type ChildServer, passwordOf } from './child-server.ts';
import type { ProseLogin, ProseVerbs } from './prose-process.ts';

/** How long anything may take that somebody does, in milliseconds: the core asks for much before each step. */
const PATIENCE = 20_000;

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

export class ProseUser implements AsyncDisposable {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private failure: Error | undefined;
  private last = 0;

  private constructor(login: ProseLogin) {
    const script = fileURLToPath(new URL('prose-process.ts', import.meta.url));
    this.child = fork(script, [JSON.stringify(login)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.child.on('message', (answer: Answer) => this.waiting.get(answer.id)?.(answer));
    let said = '';
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    this.child.on('close', () => {
      this.failure = new Error(`it has ended: ${said}`);
      for (const [id, tell] of this.waiting) tell({ id, error: this.failure.message });
    });
  }

  /** Logs in, and looks at the rooms there are. */
  static async logIn(server: ChildServer, domain: string, user: string): Promise<ProseUser> {
    const { address, port } = server.address('http');
    const url = `ws://${address}:${port}/xmpp-websocket`;
    const one = new ProseUser({ url, domain, user, password: passwordOf(user) });
    try {
      await one.do('logIn');
      return one;
    } catch (error) {
      await one[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** @throws Error with what the core says, when it cannot be done, or is not within some time */
  async do<V extends keyof ProseVerbs>(
    verb: V,
    ...args: Parameters<ProseVerbs[V]>
  ): Promise<Awaited<ReturnType<ProseVerbs[V]>>> {
    if (this.failure !== undefined) throw this.failure;
    const id = ++this.last;
    const answer = await new Promise<Answer>((resolve) => {
      const late = setTimeout(() => resolve({ id, error: 'it takes too long' }), PATIENCE);
      this.waiting.set(id, (answer) => {
        clearTimeout(late);
        resolve(answer);
      });
      this.child.send({ id, verb, args });
    });
    this.waiting.delete(id);
    if (answer.error !== undefined) throw new Error(`${verb} ${args.join(' ')}: ${answer.error}`);
    return answer.value as Awaited<ReturnType<ProseVerbs[V]>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.failure !== undefined) return;
    const end = once(this.child, 'close');
    this.child.kill();
    await end;
  }
}
