// Which answers to a request over HTTP say that the account has another password.
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { Host } from '../../../../src/core/host.ts';
import type { Router } from '../../../../src/core/router.ts';
import type { WebRequest } from '../../../../src/core/web.ts';
import type { Bearer } from '../../../../src/modules/oauth/service.ts';
import { stanzaEndpoint } from '../../../../src/modules/portal-api/stanzas.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import type { Iq } from '../../../../src/xmpp/stanza.ts';

/** How often the token was kept when such a request went there and was answered with a result. */
async function kept(to: string): Promise<number> {
  let count = 0;
  const router = {
    request: async (_: Host, make: (id: string) => Iq) => ({
      type: 'result',
      el: make('1').el.with({ type: 'result' }),
    }),
  } as unknown as Router;
  const handle = stanzaEndpoint({ host: { domain: 'one.test' } as Host, router, signal: new AbortController().signal });
  const xml = `<iq type="set" to="${to}"><query xmlns="${NS.register}"><username>romeo</username><password>new</password></query></iq>`;
  const request = {
    headers: { 'content-type': 'application/xmpp+xml' },
    read: async () => Buffer.from(xml),
    body: () => Readable.from([]),
  } as unknown as WebRequest;
  const bearer = { jid: Jid.of('romeo', 'one.test'), keep: async () => void count++ } as unknown as Bearer;
  expect((await handle(request, bearer)).status).toBe(200);
  return count;
}

test('a token holds on when the server has set another password, and not because somebody else says so', async () => {
  expect(await kept('one.test')).toBe(1);
  expect(await kept('romeo@one.test')).toBe(1);
  expect(await kept('romeo@one.test/orchard')).toBe(0);
  expect(await kept('friend@elsewhere.test/home')).toBe(0);
});
