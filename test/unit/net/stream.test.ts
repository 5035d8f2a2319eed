// The stream's lane, where it matters that there is no connection any more.
import { expect, test } from 'vitest';
import { silent } from '../../../src/base/log.ts';
import { type StreamHandlers, XmlStream } from '../../../src/net/stream.ts';
import type { Transport, TransportHandlers, TransportShape } from '../../../src/net/transport.ts';
import { StreamError } from '../../../src/xmpp/errors.ts';
import { NS } from '../../../src/xmpp/ns.ts';
import { FakeClock } from '../../kit/clock.ts';

const header = `<stream:stream to='verona.test' version='1.0' xmlns='jabber:client' xmlns:stream='${NS.stream}'>`;
const twoMessages = `<message id='1'/><message id='2'/>`;

class Wire implements Transport {
  readonly address = '127.0.0.1';
  readonly tls = undefined;
  readonly isConfidential = false;
  readonly shape: TransportShape = 'stream';
  readonly queuedBytes = 0;
  handlers!: TransportHandlers;
  attach(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }
  write(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

/** A stream on which one message is being handled, and another waits. */
function held() {
  const wire = new Wire();
  const told: string[] = [];
  let finish = (): void => {};
  const handlers: StreamHandlers = {
    header: () => stream.open({ from: 'verona.test' }),
    element: ({ attrs }) => {
      told.push(`message ${attrs.id}`);
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    closed: (reason) => void told.push(reason),
  };
  const options = { contentNs: NS.client, limits: {}, budgets: [], clock: new FakeClock(), log: silent } as const;
  const stream = new XmlStream(wire, handlers, 'verona.test', options);
  wire.handlers.data(Buffer.from(header + twoMessages));
  const finishOne = async (): Promise<void> => {
    finish();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { stream, wire, told, finishOne };
}

test('what came before the connection broke is handled, and then the stream is over', async () => {
  const { wire, told, finishOne } = held();
  wire.handlers.closed(undefined);
  expect(told).toEqual(['message 1']);
  await finishOne();
  expect(told).toEqual(['message 1', 'message 2']);
  await finishOne();
  expect(told).toEqual(['message 1', 'message 2', 'connection closed']);
});

test('the closing tag that came before the connection broke ends the stream in good order', async () => {
  const { wire, told, finishOne } = held();
  wire.handlers.data(Buffer.from('</stream:stream>'));
  wire.handlers.closed(new Error('reset'));
  await finishOne();
  await finishOne();
  expect(told).toEqual(['message 1', 'message 2', 'reset']);
});

test.each([
  ['closed', (stream: XmlStream) => stream.close(new StreamError('conflict')), 'conflict'],
  ['dropped', (stream: XmlStream) => stream.abort('no longer wanted'), 'reset'],
])('a stream without a connection that is %s is over at once, and handles nothing more', async (_, end, reason) => {
  const { stream, wire, told, finishOne } = held();
  wire.handlers.closed(new Error('reset'));
  end(stream);
  expect(told).toEqual(['message 1', reason]);
  await finishOne();
  expect(told).toEqual(['message 1', reason]);
});

test('a stream tells why it ended', async () => {
  const endings = [
    ['</stream:stream>', 'the peer closed the stream'],
    [`<stream:error><reset xmlns='${NS.streams}'/></stream:error>`, 'the peer ended the stream: reset'],
  ];
  for (const [xml, reason] of endings) {
    const { wire, told, finishOne } = held();
    wire.handlers.data(Buffer.from(xml!));
    await finishOne();
    await finishOne();
    wire.handlers.closed(undefined);
    expect(told.at(-1)).toBe(reason);
  }
});

/** A gate, and a stream behind it that handles at once. */
function gated() {
  const wire = new Wire();
  const told: string[] = [];
  let letThrough = (): void => {};
  const gate = {
    isOpen: true,
    opened: (): Promise<void> =>
      new Promise((resolve) => {
        letThrough = resolve;
      }),
  };
  const handlers: StreamHandlers = {
    header: () => stream.open({ from: 'verona.test' }),
    element: ({ attrs }) => void told.push(`message ${attrs.id}`),
    closed: (reason) => void told.push(reason),
  };
  const options = { contentNs: NS.client, limits: {}, budgets: [], clock: new FakeClock(), log: silent, gate } as const;
  const stream = new XmlStream(wire, handlers, 'verona.test', options);
  const open = async (): Promise<void> => {
    gate.isOpen = true;
    letThrough();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { stream, wire, told, gate, open };
}

test('what comes while the gate is closed is handled, in order, when it opens', async () => {
  const { wire, told, gate, open } = gated();
  wire.handlers.data(Buffer.from(header));
  gate.isOpen = false;
  wire.handlers.data(Buffer.from(twoMessages));
  wire.handlers.data(Buffer.from(`<message id='3'/>`));
  expect(told).toEqual([]);
  await open();
  expect(told).toEqual(['message 1', 'message 2', 'message 3']);
});

test('a stream that is closed behind the gate handles nothing of what waited there', async () => {
  const { stream, wire, told, gate, open } = gated();
  wire.handlers.data(Buffer.from(header));
  gate.isOpen = false;
  wire.handlers.data(Buffer.from(twoMessages));
  stream.close(new StreamError('reset'));
  await open();
  expect(told).toEqual([]);
});

test('a connection that breaks behind the gate is over when what it brought is handled', async () => {
  const { wire, told, gate, open } = gated();
  wire.handlers.data(Buffer.from(header));
  gate.isOpen = false;
  wire.handlers.data(Buffer.from(twoMessages));
  wire.handlers.closed(undefined);
  expect(told).toEqual([]);
  await open();
  expect(told).toEqual(['message 1', 'message 2', 'connection closed']);
});

test('what waits behind an element waits on where the gate is closed when that is handled', async () => {
  const wire = new Wire();
  const told: string[] = [];
  let finish = (): void => {};
  const gate = { isOpen: true, opened: (): Promise<void> => new Promise(() => {}) };
  const handlers: StreamHandlers = {
    header: () => stream.open({ from: 'verona.test' }),
    element: ({ attrs }) => {
      told.push(`message ${attrs.id}`);
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    closed: (reason) => void told.push(reason),
  };
  const options = { contentNs: NS.client, limits: {}, budgets: [], clock: new FakeClock(), log: silent, gate } as const;
  const stream = new XmlStream(wire, handlers, 'verona.test', options);
  wire.handlers.data(Buffer.from(header + twoMessages));
  gate.isOpen = false;
  finish();
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual(['message 1']);
});
