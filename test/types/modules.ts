// What must not compile: each line below an expectation is a mistake that the types have to catch. Checked by `npm run lint`.
import { messageIn, streamFeatures } from '../../src/core/events.ts';
import { counter } from '../../src/core/metrics.ts';
import { defineModule, defineService, on, provide } from '../../src/core/module.ts';
import { defineSlot, type Session } from '../../src/core/sessions.ts';
import { kv, log, map } from '../../src/storage/specs.ts';
import { StanzaError } from '../../src/xmpp/errors.ts';

const greeter = defineService<{ greet(name: string): string }>('greeter');

export default defineModule({
  xeps: [],
  summary: 'never runs',
  stores: {
    prefs: kv<{ enabled: boolean }>(),
    items: map<number>(),
    archive: log<string, { with: string }>({ index: ['with'] }),
  },
  metrics: { sent: counter('sent') },
  setup({ stores, metrics, use }) {
    void stores.prefs.set('juliet', { enabled: true });
    // @ts-expect-error the value has another shape
    void stores.prefs.set('juliet', { enabled: 'yes' });
    // @ts-expect-error there is no such store
    void stores.other;
    // @ts-expect-error values of a map are set by owner and key
    void stores.items.set('juliet', 1);
    // @ts-expect-error the log has no such index
    void stores.archive.append('juliet', 'hello', { from: 'romeo' });
    metrics.sent.inc();
    // @ts-expect-error a counter cannot be set
    metrics.sent.set(1);
    // @ts-expect-error the service takes a name
    use(greeter).greet(1);
    return {
      handlers: [
        on(messageIn, { phase: 'copy' }, () => {}),
        // @ts-expect-error a misspelt phase
        on(messageIn, { phase: 'coppy' }, () => {}),
        // @ts-expect-error a gate needs a phase
        on(messageIn, () => {}),
        // @ts-expect-error only 'handled' or a StanzaError ends a gate
        on(messageIn, { phase: 'check' }, () => 'refused'),
        on(messageIn, { phase: 'check' }, (transit) => {
          // @ts-expect-error stanzas are never changed
          transit.stanza.el.attrs.to = 'romeo';
        }),
        // @ts-expect-error other hooks have no phases
        on(streamFeatures, { phase: 'check' }, () => {}),
        provide(greeter, { greet: (name) => name }),
        // @ts-expect-error not what the service promises
        provide(greeter, { greet: () => 1 }),
      ],
    };
  },
});

export function slots(session: Session): void {
  const enabled = defineSlot<boolean>('enabled', { shared: true });
  void session.set(enabled, true);
  // @ts-expect-error the slot holds a boolean
  void session.set(enabled, 'yes');
  // @ts-expect-error only plain values can be shared with other nodes
  defineSlot<Map<string, string>>('map', { shared: true });
}

// @ts-expect-error not one of the conditions of RFC 6120 8.3.3
new StanzaError('not-found');
