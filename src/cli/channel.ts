// Between the primary and one of its nodes, over the pipe that node:cluster has between them: questions with their answers.
import { ConfigError } from '../config/problems.ts';
import { CommandError, type CommandErrorCode } from '../core/commands.ts';

/** A process that messages can be exchanged with. */
export interface Peer {
  send(message: object): void;
  onMessage(fn: (message: unknown) => void): void;
}

type Message =
  | { readonly kind: 'question'; readonly id: number; readonly what: string; readonly body: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly code: CommandErrorCode; readonly message: string };

export type Answers = Readonly<Record<string, (body: never) => unknown>>;

/** How long an answer may take unless it is said otherwise, in milliseconds. */
const PATIENCE = 10_000;

export class Channel {
  private readonly peer: Peer;
  private readonly answers: Answers;
  private readonly waiting = new Map<number, { done(body: unknown): void; failed(error: Error): void }>();
  private last = 0;
  private ended: Error | undefined;

  constructor(peer: Peer, answers: Answers) {
    this.peer = peer;
    this.answers = answers;
    peer.onMessage((message) => this.take(message as Message));
  }

  /**
   * Asks the other process.
   * @param patience how long its answer may take, in milliseconds
   * @throws CommandError, as the other process refused it; `failed` when it does not answer, or has ended
   */
  async ask(what: string, body?: unknown, patience = PATIENCE): Promise<unknown> {
    if (this.ended) throw this.ended;
    const id = ++this.last;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((done, failed) => {
        this.waiting.set(id, { done, failed });
        if (Number.isFinite(patience)) {
          timer = setTimeout(() => failed(new CommandError('failed', `no answer to "${what}" in time`)), patience);
        }
        this.peer.send({ kind: 'question', id, what, body } satisfies Message);
      });
    } finally {
      clearTimeout(timer);
      this.waiting.delete(id);
    }
  }

  /** The other process has ended: nothing that was asked is answered any more. */
  end(why: string): void {
    this.ended = new CommandError('failed', why);
    for (const { failed } of this.waiting.values()) failed(this.ended);
  }

  private take(message: Message): void {
    if (message.kind === 'question') void this.reply(message.id, message.what, message.body);
    else if (message.kind === 'answer') this.waiting.get(message.id)?.done(message.body);
    else this.waiting.get(message.id)?.failed(new CommandError(message.code, message.message));
  }

  private async reply(id: number, what: string, body: unknown): Promise<void> {
    try {
      const answer = this.answers[what];
      if (answer === undefined) throw new Error(`nobody answers "${what}"`);
      this.peer.send({ kind: 'answer', id, body: await answer(body as never) } satisfies Message);
    } catch (error) {
      const code = error instanceof CommandError ? error.code : error instanceof ConfigError ? 'refused' : 'failed';
      const message = error instanceof Error ? error.message : String(error);
      this.peer.send({ kind: 'refusal', id, code, message } satisfies Message);
    }
  }
}
