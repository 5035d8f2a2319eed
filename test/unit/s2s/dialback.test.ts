// Keys and messages of Server Dialback (XEP-0185, XEP-0220).
import { describe, expect, test } from 'vitest';
import {
  DialbackRequests,
  dialbackKey,
  isDialbackKey,
  readDialback,
  writeResult,
  writeResultRequest,
  writeVerify,
  writeVerifyRequest,
} from '../../../src/s2s/dialback.ts';
import type { Element } from '../../../src/xml/element.ts';
import { Parser } from '../../../src/xml/parser.ts';
import { StanzaError } from '../../../src/xmpp/errors.ts';

/** As a peer's stream brings it. */
function parse(xml: string): Element {
  const found: Element[] = [];
  const parser = new Parser({
    onHeader: () => {},
    onElement: (element) => found.push(element),
    onEnd: () => {},
    onError: (_, text) => expect.unreachable(text),
  });
  const header =
    "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>";
  parser.write(Buffer.from(header + xml));
  return found[0]!;
}

const pair = { from: 'capulet.example', to: 'montague.example' };

describe('keys', () => {
  test('are those of the examples in XEP-0185 and XEP-0220', () => {
    expect(dialbackKey('s3cr3tf0rd14lb4ck', 'xmpp.example.com', 'example.org', 'D60000229F')).toBe(
      '37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643',
    );
    expect(dialbackKey('s3cr3tf0rd14lb4ck', 'montague.example', 'capulet.example', 'D60000229F')).toBe(
      'b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3',
    );
  });

  test('hold for their pair of domains and their stream only', () => {
    const key = dialbackKey('secret', 'a.example', 'b.example', 'id');
    expect(isDialbackKey(key, 'secret', 'a.example', 'b.example', 'id')).toBe(true);
    expect(isDialbackKey(key, 'secret', 'b.example', 'a.example', 'id')).toBe(false);
    expect(isDialbackKey(key, 'secret', 'a.example', 'b.example', 'other')).toBe(false);
    expect(isDialbackKey(key, 'guess', 'a.example', 'b.example', 'id')).toBe(false);
    expect(isDialbackKey('', 'secret', 'a.example', 'b.example', 'id')).toBe(false);
    expect(isDialbackKey(`${key}0`, 'secret', 'a.example', 'b.example', 'id')).toBe(false);
  });
});

describe('messages', () => {
  test('are read as they are written', () => {
    const requests = [
      [writeResultRequest(pair, 'k3y'), { name: 'result', ...pair, key: 'k3y' }],
      [writeVerifyRequest(pair, "i'd", 'k<3>y'), { name: 'verify', ...pair, id: "i'd", key: 'k<3>y' }],
    ] as const;
    for (const [xml, message] of requests) expect(readDialback(parse(xml))).toEqual(message);
    const turned = { from: pair.to, to: pair.from };
    for (const outcome of ['valid', 'invalid'] as const) {
      expect(readDialback(parse(writeResult(pair, outcome)))).toEqual({ name: 'result', ...turned, outcome });
      expect(readDialback(parse(writeVerify(pair, 'id', outcome)))).toEqual({
        name: 'verify',
        id: 'id',
        ...turned,
        outcome,
      });
    }
  });

  test('have the prefix that old servers insist on', () => {
    expect(writeResultRequest(pair, 'k')).toBe("<db:result from='capulet.example' to='montague.example'>k</db:result>");
  });

  test('errors carry a condition', () => {
    const message = readDialback(parse(writeResult(pair, new StanzaError('item-not-found'))));
    expect(message).toMatchObject({ outcome: { condition: 'item-not-found' } });
    const strange =
      "<db:result type='error' from='a.example' to='b.example'><error><remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>";
    expect(readDialback(parse(strange))).toMatchObject({ outcome: { condition: 'undefined-condition' } });
  });

  test.each([
    ["<db:result to='b.example'>k</db:result>"],
    ["<db:result from='a b' to='b.example'>k</db:result>"],
    ["<db:verify from='a.example' to='b.example'>k</db:verify>"],
    ["<db:verify from='a.example' to='b.example' id='1' type='maybe'/>"],
    ["<db:other from='a.example' to='b.example'/>"],
  ])('%s is none', (xml) => {
    expect(readDialback(parse(xml))).toBeUndefined();
  });

  test('white space around a key does not count', () => {
    expect(readDialback(parse("<db:result from='A.example' to='b.example'>\n k\n</db:result>"))).toMatchObject({
      from: 'a.example',
      key: 'k',
    });
  });
});

describe('requests', () => {
  test('an answer is taken once, and only for what was asked', () => {
    const requests = new DialbackRequests<string>();
    requests.add(pair, 'result');
    requests.add(pair, 'verify', 'id');
    const answer = { from: pair.to, to: pair.from };
    expect(requests.take(pair)).toBeUndefined();
    expect(requests.take(answer, 'other')).toBeUndefined();
    expect(requests.take(answer, 'id')).toBe('verify');
    expect(requests.take(answer)).toBe('result');
    expect(requests.take(answer)).toBeUndefined();
  });
});
