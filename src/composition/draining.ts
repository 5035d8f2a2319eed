// A node that is about to stop, or is to be idle: nobody new comes in, and who is there goes to other nodes, not all at once.

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ClientAcceptor } from '../c2s/acceptor.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Owners } from '../core/owners/owners.ts';
import type { Session, Sessions } from '../core/sessions.ts';
import { StreamError } from '../xmpp/errors.ts';
import type { Listeners } from './listeners.ts';

export interface DrainingParts {
  readonly cluster: Cluster;
  readonly listeners: Listeners;
  readonly clients: ClientAcceptor;
  readonly sessions: Sessions;
  readonly owners: Owners;
  readonly clock: Clock;
  readonly log: Logger;
  /** Other processes serve the same ports: HTTP, too, is theirs then. */
  readonly sharesPorts: boolean;
  /** Gives sessions that can be resumed to other nodes, for so many milliseconds at most, and as long as that is wanted. */
  readonly handOver: (deadline: number, goesOn: () => boolean) => Promise<unknown>;
  /** Whether other nodes may hand sessions over to this one. */
  readonly welcome: (isOn: boolean) => void;
  /** Those that could be handed over: should there be nobody to take them, they are kept for the next start. */
  readonly resumable: () => Iterable<Session>;
}

/** How long what the node owns, and then sessions, are handed over, in milliseconds. */
const HAND_OVER = 60_000;
/** Those that cannot be handed over are closed within this time, in milliseconds: their clients come back somewhere at once. */
const CLOSING = 10_000;
const STEP = 100;
/** So many at a time are a burden for nobody. */
const FEW = 16;

export class Draining {
  private readonly parts: DrainingParts;
  /** Tells one draining from the next, after it was undone. */
  private turn = 0;
  private working: Promise<void> | undefined;

  constructor(parts: DrainingParts) {
    this.parts = parts;
  }

  get isOn(): boolean {
    return this.working !== undefined;
  }

  /** Resolves when all sessions are gone but those that nobody could take; the second call waits for the first. */
  begin(): Promise<void> {
    this.working ??= this.drain(++this.turn);
    return this.working;
  }

  /** Serves again. @throws ListenError */
  async undo(): Promise<void> {
    if (this.working === undefined) return;
    this.working = undefined;
    this.turn++;
    this.parts.clients.isOpen = true;
    this.parts.welcome(true);
    await this.parts.listeners.open();
    this.parts.owners.serveAgain();
    await this.tell(false);
    this.parts.log.info({}, 'serves again');
  }

  /** Without Redis nobody can be told; here it holds all the same. */
  private async tell(isOn: boolean): Promise<void> {
    try {
      await this.parts.cluster.drain(isOn);
    } catch (error) {
      this.parts.log.warn({ err: error }, 'the other nodes are not told whether this one drains');
    }
  }

  private async drain(turn: number): Promise<void> {
    const { listeners, clients, sessions, owners, log, sharesPorts, handOver, welcome } = this.parts;
    const goesOn = (): boolean => turn === this.turn;
    log.info({ sessions: sessions.count }, 'drains');
    clients.isOpen = false;
    welcome(false);
    await listeners.close(sharesPorts);
    await this.tell(true);
    await owners.drain(HAND_OVER);
    await handOver(HAND_OVER, goesOn);
    while (goesOn() && (await this.closeOthers(CLOSING, goesOn))) await this.pause();
    if (goesOn()) log.info({ sessions: sessions.count }, 'is drained');
  }

  /**
   * The node stops: a draining that is under way gives way, and who cannot be handed over is told to go, a few at a time.
   * @param time in which all of them are told, in milliseconds
   */
  async finish(time: number): Promise<void> {
    const turn = ++this.turn;
    await this.closeOthers(time, () => turn === this.turn);
  }

  /**
   * Ends the sessions that cannot be handed over, a few at a time: their clients come back elsewhere, each with a login. Returns
   * whether there were any; they may need a moment to be gone.
   */
  private async closeOthers(time: number, goesOn: () => boolean): Promise<boolean> {
    const { sessions, resumable } = this.parts;
    const staying = new Set(resumable());
    const going = [...sessions.all()].filter((session) => !staying.has(session));
    const step = Math.max(FEW, Math.ceil(going.length / (time / STEP)));
    for (let told = 0; told < going.length && goesOn(); told += step) {
      if (told > 0) await this.pause();
      for (const session of going.slice(told, told + step)) session.close(new StreamError('system-shutdown'));
    }
    return going.length > 0;
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => void this.parts.clock.after(STEP, resolve));
  }
}
