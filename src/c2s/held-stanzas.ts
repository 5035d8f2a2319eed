// What is sent to a session that is in the directory already, and is not ready to take it.

import type { Outbox } from '../core/outbox.ts';
import type { Router } from '../core/router.ts';
import type { Session } from '../core/sessions.ts';
import type { Stanza } from '../xmpp/stanza.ts';

export class HeldStanzas implements Outbox {
  private readonly router: Router;
  private session: Session | undefined;
  private stanzas: Stanza[] = [];

  constructor(router: Router) {
    this.router = router;
  }

  holdFor(session: Session): void {
    this.session = session;
    session.outbox = this;
  }

  write(stanza: Stanza): void {
    this.stanzas.push(stanza);
  }

  handled(): void {}

  giveBack(): void {
    const { session } = this;
    if (session === undefined) return;
    for (const stanza of this.stanzas.splice(0)) void this.router.takeBack(session.host, stanza, session.sid);
  }

  /** From now on what is sent goes where the session says. */
  letGo(): void {
    if (this.session !== undefined) this.session.outbox = undefined;
  }

  release(): void {
    for (const stanza of this.stanzas.splice(0)) this.session?.write(stanza);
  }
}
