// XEP-0065: SOCKS5 Bytestreams, the proxy. Two clients that do not reach each other connect to it, and it passes on what they send; src/net/bytestreams.ts
// does that, here it is decided for whom.
//
// - 4: only people of the host above learn where it is, and activate streams; whom they send to may be anybody.
// - 6.3.5: who is not whom the stream was agreed with names another hash, under which nobody waits: `item-not-found`, also where `not-authorized` is meant
// - 7: streams in rooms are activated by the occupant's address, as their name is made of it
// - Left out: UDP (9, optional).
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { andThen } from '../base/maybe.ts';
import { bytes, duration } from '../config/schema.ts';
import { counter, gauge } from '../core/metrics.ts';
import { defineModule, type IqHandler, type IqRequest, iqGet, iqSet } from '../core/module.ts';
import type { StreamTerms } from '../net/bytestreams.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';

export default defineModule({
  xeps: ['XEP-0065 1.8.2'],
  summary: 'Passes on files between clients that do not reach each other',
  hosts: ['proxy'],
  config: z
    .strictObject({
      'bytes-per-second': bytes()
        .prefault('10MB')
        .meta({ description: 'What may pass on one stream in the long run; beyond it, reading pauses.' }),
      'streams-per-account': z
        .int()
        .positive()
        .prefault(8)
        .meta({ description: 'Streams of one account at a time, on one node.' }),
      streams: z.int().positive().prefault(500).meta({ description: 'Streams of all people at a time, on one node.' }),
      idle: duration().prefault('2m').meta({ description: 'A stream on which nothing passes for so long is cut off.' }),
      longest: duration().prefault('6h').meta({ description: 'How long a stream may last.' }),
    })
    .prefault({}),
  metrics: {
    active: gauge('Streams between clients that are on, on this node'),
    bytes: counter('Bytes that were passed on between clients'),
  },

  setup({ host, config, metrics, bytestreams }) {
    const { proxy, limits } = host.settings;

    /** XEP-0065 4: who may not send files at all, as guests may not (XEP-0175 3), does not send them this way. */
    const allowed =
      (fn: (request: IqRequest) => Element | undefined): IqHandler =>
      (request) => {
        const { from } = request.iq;
        if (from.domain !== host.parent?.domain) throw new StanzaError('forbidden');
        return andThen(host.may(from, 'upload'), (may) => {
          if (!may) throw new StanzaError('forbidden');
          if (bytestreams.port === undefined) throw new StanzaError('not-allowed', 'it does not listen');
          return fn(request);
        });
      };

    function address(): Element {
      const at = {
        jid: host.domain,
        host: proxy.address ?? host.parent?.domain,
        port: String(proxy.port ?? bytestreams.port),
      };
      return el('query', NS.bytestreams, undefined, el('streamhost', NS.bytestreams, at));
    }

    /** 6.3.5 */
    function activate({ iq, payload }: IqRequest): undefined {
      const { sid } = payload.attrs;
      const target = payload.getChildText('activate', NS.bytestreams);
      if (sid === undefined || target === undefined) {
        throw new StanzaError('bad-request', 'a stream and its target are needed');
      }
      const to = Jid.parse(target.trim());
      if (to === undefined) throw new StanzaError('jid-malformed');
      const name = nameOf(sid, iq.from, to);
      const there = bytestreams.waiting(name);
      if (there === 0) throw new StanzaError('item-not-found', 'nobody is connected for that');
      if (there === 1) throw new StanzaError('not-allowed', 'only one of the two is connected');
      const owner = iq.from.bare;
      if (bytestreams.activeOf(owner) >= config['streams-per-account'] || bytestreams.active >= config.streams) {
        throw new StanzaError('resource-constraint', 'there are too many streams already');
      }
      const terms: StreamTerms = {
        owner,
        bytesPerSecond: limits.enabled ? config['bytes-per-second'] : Number.POSITIVE_INFINITY,
        idle: config.idle,
        longest: config.longest,
      };
      bytestreams.activate(name, terms, (passed) => {
        metrics.active.dec();
        metrics.bytes.inc(passed);
      });
      metrics.active.inc();
    }

    return {
      features: { server: [NS.bytestreams] },
      handlers: [
        iqGet('host', NS.bytestreams, 'query', allowed(address)),
        iqSet('host', NS.bytestreams, 'query', allowed(activate)),
      ],
    };
  },
});

/** What both name to be brought together (5.3.2): not secret, and known to both. */
function nameOf(sid: string, requester: Jid, target: Jid): string {
  return createHash('sha1').update(`${sid}${requester.full}${target.full}`).digest('hex');
}
