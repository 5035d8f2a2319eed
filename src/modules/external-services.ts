// XEP-0215: External Service Discovery. Clients learn where STUN and TURN are, with credentials of their own where the service shares a
// secret with us. The namespace of version 0.5 is answered too, for older clients.
//
// - 3.2: who has asked for services is told of changes when the settings are read again, by actions; over a move of the session to another
//   process that is forgotten
// - 6: names are told as they are configured, in whatever language
import { z } from 'zod';
import { type ExternalService, portOf, serviceTypes } from '../config/external-services.ts';
import { defineModule, type IqRequest, iqGet } from '../core/module.ts';
import { defineSlot, type Session } from '../core/sessions.ts';
import { type Attrs, type Element, el } from '../xml/element.ts';
import { formatDateTime } from '../xmpp/datetime.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../xmpp/stanza.ts';
import { turnCredentials } from '../xmpp/turn-credentials.ts';

/** What a session has been told. */
interface Told {
  /** The kinds it has asked for, `''` for all. */
  readonly types: ReadonlySet<string>;
  readonly services: readonly ExternalService[];
}
const told = defineSlot<Told>('external-services');

/** What may be asked for. */
const types: readonly string[] = ['', ...serviceTypes];

type Action = 'add' | 'delete' | 'modify';

export default defineModule({
  xeps: ['XEP-0215 1.0.0'],
  summary: 'Tells clients of STUN and TURN services for calls, with short-lived credentials',
  config: z
    .strictObject({
      remote: z.boolean().prefault(false).meta({
        description: 'Whether people of other domains may ask too, and use the services.',
      }),
    })
    .prefault({}),

  setup({ host, config, router, clock, background, signal }) {
    const services = host.settings['external-services'];

    function allow({ from }: Iq): void {
      if (from.domain !== host.domain && !config.remote) throw new StanzaError('forbidden');
    }

    /** One service, with credentials for somebody. */
    function describe(ns: string, service: ExternalService, to: Jid, action?: Action): Element {
      const { type, host: at, transport, name } = service;
      const known: Attrs = { action, type, host: at, port: String(portOf(service)), transport };
      if (action === 'delete') return el('service', ns, known);
      return el('service', ns, { ...known, name: name ?? undefined, ...credentials(ns, service, to) });
    }

    function credentials(ns: string, { secret, username, password, ttl }: ExternalService, to: Jid): Attrs {
      if (secret === null) return username === null ? {} : { username, password: password ?? '', ...restricted(ns) };
      const made = turnCredentials(secret, to.bare, clock.now() + ttl);
      const expires = ns === NS.extdisco ? formatDateTime(made.expires) : undefined;
      return { username: made.username, password: made.password, expires, ...restricted(ns) };
    }

    const list = (ns: string) => (request: IqRequest) => {
      const { iq, payload, session } = request;
      allow(iq);
      const { type } = payload.attrs;
      if (session !== undefined && ns === NS.extdisco) remember(session, type ?? '');
      const wanted = services.filter((service) => type === undefined || service.type === type);
      return el('services', ns, { type }, ...wanted.map((service) => describe(ns, service, iq.from)));
    };

    function remember(session: Session, type: string): void {
      const kind = types.find((one) => one === type);
      if (kind === undefined) return;
      const before = session.get(told)?.types ?? [];
      void session.set(told, { types: new Set([...before, kind]), services });
    }

    /** 3.3 */
    const identify = (ns: string) => (request: IqRequest) => {
      const { iq, payload } = request;
      allow(iq);
      const asked = payload.getChildren('service', ns);
      if (asked.length === 0) throw new StanzaError('bad-request', 'which service?');
      const found = new Set<ExternalService>();
      for (const { attrs } of asked) {
        if (attrs.host === undefined || attrs.type === undefined) {
          throw new StanzaError('bad-request', 'host and type are needed');
        }
        for (const service of services) if (isMeant(service, attrs)) found.add(service);
      }
      const known = [...found].filter(({ secret, username }) => secret !== null || username !== null);
      if (known.length === 0) throw new StanzaError('item-not-found', 'there are no credentials for such a service');
      return el('credentials', ns, undefined, ...known.map((service) => describe(ns, service, iq.from)));
    };

    /** 3.2: only those who are there, and asked. */
    function pushChanges(session: Session): void {
      const before = session.get(told);
      if (before === undefined || !session.available) return;
      void session.set(told, { ...before, services });
      const changes = changesBetween(before.services, services);
      for (const type of before.types.has('') ? [''] : before.types) {
        const wanted = changes.filter(([service]) => type === '' || service.type === type);
        if (wanted.length > 0) push(session, type, wanted);
      }
    }

    function push({ jid }: Session, type: string, changes: readonly Change[]): void {
      const children = changes.map(([service, action]) => describe(NS.extdisco, service, jid, action));
      const payload = el('services', NS.extdisco, { type: type || undefined }, ...children);
      const make = (id: string): Iq =>
        stanzaOf(el('iq', null, { from: host.domain, to: jid.full, type: 'set', id }, payload), host.jid, jid) as Iq;
      // whether the client makes anything of it is its own affair
      background(
        router.request(host, make, { signal }).catch(() => {}),
        'telling of changed services',
      );
    }

    for (const session of router.sessionsOf(host)) pushChanges(session);

    const namespaces = [NS.extdisco, NS.extdiscoOld];
    return {
      features: { server: namespaces },
      handlers: namespaces.flatMap((ns) => [
        iqGet('host', ns, 'services', list(ns)),
        iqGet('host', ns, 'credentials', identify(ns)),
      ]),
    };
  },
});

const restricted = (ns: string): Attrs => (ns === NS.extdisco ? { restricted: 'true' } : {});

function isMeant(service: ExternalService, { host, type, port, transport }: Attrs): boolean {
  return (
    service.type === type &&
    service.host.toLowerCase() === host?.toLowerCase() &&
    (port === undefined || String(portOf(service)) === port) &&
    (transport === undefined || service.transport === transport)
  );
}

const keyOf = (service: ExternalService): string =>
  [service.type, service.host, portOf(service), service.transport].join(' ');

type Change = readonly [service: ExternalService, action: Action];

/** What has to be told to somebody who knows the old services. */
function changesBetween(old: readonly ExternalService[], now: readonly ExternalService[]): Change[] {
  const before = new Map(old.map((service) => [keyOf(service), JSON.stringify(service)]));
  const changes: Change[] = [];
  for (const service of now) {
    const was = before.get(keyOf(service));
    if (was === undefined) changes.push([service, 'add']);
    else if (was !== JSON.stringify(service)) changes.push([service, 'modify']);
    before.delete(keyOf(service));
  }
  for (const service of old) if (before.has(keyOf(service))) changes.push([service, 'delete']);
  return changes;
}
