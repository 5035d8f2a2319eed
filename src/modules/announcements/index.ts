// What the server says to its people: announcements to all who are connected, the message of the day to everybody once, and a welcome to those who
// are new. XEP-0133 4.23 to 4.28 say how administrators use it; the commands are in core/announcement-commands.ts.
//
// - An announcement is of the moment: who is not connected never hears of it, nor who is on a node that is cut off from the others.
// - The welcome is a message to the account, made when the account is: whoever logs in first finds it among what was kept, and in the archive.
import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { AdminAnnouncements } from '../../core/admin-services.ts';
import { accountCreated, sessionPresence } from '../../core/events.ts';
import { defineModule, defineService, on, provide } from '../../core/module.ts';
import type { Session } from '../../core/sessions.ts';
import { kv } from '../../storage/specs.ts';
import { el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { type Message, messageOf } from '../../xmpp/stanza.ts';

export const announcements = defineService<AdminAnnouncements>('announcements');

/** What is said until somebody changes it; under the owner `''`. */
interface Texts {
  /** The message of the day, and which one it is: another one is told to everybody again. */
  readonly motd?: { readonly id: string; readonly text: string };
  readonly welcome?: string;
}
interface Said {
  readonly text: string;
  readonly subject?: string;
}
/** What the nodes tell one another. */
interface Word extends Said {
  /** It is the message of the day. */
  readonly motd?: string;
}

/** After so many sessions others have their turn. */
const AT_A_TIME = 200;

export default defineModule({
  xeps: [],
  summary: 'Announcements, the message of the day, and a welcome to those who are new',
  provides: [announcements],
  stores: {
    texts: kv<Texts>({ cache: true }),
    /** Which message of the day an account was told last. */
    told: kv<string>(),
  },

  setup({ host, stores, router, cluster, background }) {
    const topic = `announcement ${host.domain}`;

    function messageTo(session: Session, { text, subject }: Said): Message {
      const to = session.jid;
      const id = randomBytes(6).toString('base64url');
      const element = el(
        'message',
        null,
        { from: host.domain, to: to.full, type: 'headline', id },
        ...(subject === undefined ? [] : [el('subject', null, undefined, subject)]),
        el('body', null, undefined, text),
      );
      return messageOf(element, host.jid, to);
    }

    /** To all sessions of this node. */
    async function tellAll({ motd, ...said }: Word): Promise<void> {
      const here = router.sessionsOf(host);
      for (let from = 0; from < here.length; from += AT_A_TIME) {
        const some = here.slice(from, from + AT_A_TIME);
        if (motd === undefined) for (const session of some) tell(session, said);
        // who only is connected is told when they come
        else await Promise.all(some.map((session) => (session.available ? tellOnce(session, said, motd) : undefined)));
        await nextTurn();
      }
    }

    function tell(session: Session, said: Said): void {
      if (!session.isOver) session.deliver(messageTo(session, said));
    }

    /** Once for each account, on whichever session and node comes first. */
    async function tellOnce(session: Session, said: Said, motd: string): Promise<void> {
      let isNews = false;
      await stores.told.update(session.jid.local, (last) => {
        isNews = last !== motd;
        return motd;
      });
      if (isNews) tell(session, said);
    }

    function say(word: Word): void {
      cluster.publish(topic, word);
      background(tellAll(word), 'an announcement');
    }

    function change(work: (texts: Texts) => Texts): Promise<Texts | undefined> {
      return stores.texts.update('', (texts) => work(texts ?? {}));
    }

    const service: AdminAnnouncements = {
      announce: (text, subject) => say({ text, ...(subject === undefined ? {} : { subject }) }),
      motd: () => andThen(stores.texts.get(''), (texts) => texts?.motd?.text),
      welcome: () => andThen(stores.texts.get(''), (texts) => texts?.welcome),
      async setMotd(text, isCorrection = false) {
        const fresh = randomBytes(6).toString('base64url');
        const now = await change(({ motd, ...rest }) => {
          if (text === undefined) return rest;
          return { ...rest, motd: { text, id: isCorrection ? (motd?.id ?? fresh) : fresh } };
        });
        if (now?.motd?.id === fresh) say({ text: now.motd.text, subject: MOTD, motd: fresh });
      },
      async setWelcome(text) {
        await change(({ welcome: _, ...rest }) => (text === undefined ? rest : { ...rest, welcome: text }));
      },
    };

    function greet(session: Session): MaybePromise<void> {
      return andThen(stores.texts.get(''), (texts) => {
        const motd = texts?.motd;
        return motd && tellOnce(session, { text: motd.text, subject: MOTD }, motd.id);
      });
    }

    async function welcome(user: string): Promise<void> {
      const text = await service.welcome();
      if (text === undefined) return;
      const to = Jid.of(user, host.domain);
      const id = randomBytes(6).toString('base64url');
      const attrs = { from: host.domain, to: to.bare, type: 'chat', id };
      const element = el('message', null, attrs, el('body', null, undefined, text));
      await router.tell(messageOf(element, host.jid, to), host);
    }

    return {
      handlers: [
        provide(announcements, service),
        on(accountCreated, ({ user }) => background(welcome(user), 'a welcome')),
        on(sessionPresence, ({ session, was }) => {
          if (was !== undefined || !session.available) return;
          const greeted = greet(session);
          if (isPromise(greeted)) background(greeted, 'the message of the day');
        }),
      ],
      stop: cluster.subscribe(topic, (body) => background(tellAll(body as Word), 'an announcement')),
    };
  },
});

const MOTD = 'Message of the day';
