// A mark in what is sent, with its sender, its number and the time of sending: so that each delivery is timed, and loss shows.

import { nowMicros } from './client.ts';

// |~ sender (6 digits) number (8 digits) microseconds (13 digits) ~|
const MARK = '|~';
const SENDER_AT = 2;
const NUMBER_AT = SENDER_AT + 6;
const TIME_AT = NUMBER_AT + 8;
const END_AT = TIME_AT + 13;
const MARK_LENGTH = END_AT + 2;

/** What somebody might say, for messages of some 350 bytes. */
export const TEXT = 'Shall we meet at the usual place at eight? I have the tickets with me, and Anna comes along, too.';

/** Takes what a mark says; `delay` is in microseconds. */
export type TakeMark = (sender: string, number: number, delay: number) => void;

/** A sender as marks name it. */
export function senderName(number: number): string {
  return String(number).padStart(NUMBER_AT - SENDER_AT, '0');
}

/** A number as marks hold it. */
export function markNumber(number: number): string {
  return String(number).padStart(TIME_AT - NUMBER_AT, '0');
}

/** @param number as `markNumber` gives it */
export function markOf(sender: string, number: string, time = nowMicros()): string {
  return `${MARK}${sender}${number}${String(time).padStart(END_AT - TIME_AT, '0')}~|`;
}

/** Takes the marks out of what arrived and returns the beginning of one that is not complete yet, to be put before what comes next. */
export function takeMarks(text: string, take: TakeMark): string {
  let at = text.indexOf(MARK);
  if (at >= 0) {
    const now = nowMicros();
    while (at >= 0) {
      if (at + MARK_LENGTH > text.length) return text.slice(at);
      const number = Number(text.slice(at + NUMBER_AT, at + TIME_AT));
      take(text.slice(at + SENDER_AT, at + NUMBER_AT), number, now - Number(text.slice(at + TIME_AT, at + END_AT)));
      at = text.indexOf(MARK, at + MARK_LENGTH);
    }
  }
  return text.endsWith('|') ? '|' : '';
}
