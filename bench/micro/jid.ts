// What an address costs: plain ASCII, prepared by the long way, from the memo, and at its worst.
import { prepareHost } from '../../src/xmpp/idna.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { opaqueString, usernameCaseMapped } from '../../src/xmpp/precis.ts';

const ROUNDS = 1_000_000;
const balcony = Jid.of('juliet', 'example.com', 'balcony');

function time(name: string, rounds: number, step: (i: number) => unknown): void {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5; run++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < rounds; i++) step(i);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / rounds);
  }
  console.log(`${name.padEnd(52)} ${best.toFixed(0).padStart(7)} ns`);
}

// As the parser hands them over: slices of a chunk, made anew for every stanza.
const chunk = Array.from({ length: 1000 }, (_, i) => `user${i % 400}@chat.example.org/phone.${i % 7}x`.padEnd(64)).join(
  '',
);
const slice = (i: number): string => {
  const start = (i % 1000) * 64;
  return chunk.slice(start, chunk.indexOf(' ', start));
};

time('making the slice alone (subtract it below)', ROUNDS, slice);
time('full JID', ROUNDS, (i) => Jid.parse(slice(i)));
const directory = new Map(Array.from({ length: 1000 }, (_, i) => [String(Jid.parse(slice(i))!.bare), i]));
time('full JID, and its account found in a map', ROUNDS, (i) => directory.get(Jid.parse(slice(i))!.bare));
let fresh = 0;
const flood = Array.from({ length: 200_000 }, (_, i) => `u${i}@example.org/${i}`);
time('full JID, never seen', flood.length, () => Jid.parse(flood[fresh++ % flood.length]!));
time('bare JID', ROUNDS, () => Jid.parse('juliet@chat.example.org'));
time('upper case', ROUNDS, () => Jid.parse('Juliet@Example.COM/Balcony'));
time('malformed', ROUNDS, () => Jid.parse('foo bar@example.com/x'));
time('withResource', ROUNDS, (i) => balcony.withResource(i % 2 === 0 ? 'a' : 'b'));
time('non-ASCII, known', ROUNDS, () => Jid.parse('m\u00FCller@b\u00FCcher.example/\u{1F600} phone'));
time('localpart', 100_000, () => usernameCaseMapped('m\u00FCller'));
time('right-to-left localpart', 100_000, () => usernameCaseMapped('\u05E9\u05DC\u05D5\u05DD'));
time('emoji resourcepart', 100_000, () => opaqueString('\u{1F600} phone'));
time('U-label domainpart', 20_000, () => prepareHost('b\u00FCcher.example'));
for (const [what, text] of [
  ['marks to be reordered', `a${'\u0327\u0301'.repeat(767)}@example.com`],
  ['letters, one of them not allowed', `${'\u03B1'.repeat(511)}\u265A@example.com`],
  ['joiners', `${'\u0915\u094D\u200D'.repeat(340)}@example.com`],
  ['Arabic digits', `\u0627${'\u0660'.repeat(1000)}@example.com`],
  ['labels of marks', `u@${`a${'\u0327\u0301'.repeat(20)}.`.repeat(24)}b`],
  ['non-joiners in a label', `u@${'\u0628\u0300'.repeat(250)}${'\u200C'.repeat(250)}`],
] as const) {
  time(`worst input: ${what}`, 50, () => Jid.parse(text));
}
