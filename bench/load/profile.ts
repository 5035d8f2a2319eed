// What a load profile is: a half that runs in the worker processes and makes the load, and a half that conducts and measures.

import type { Target } from './client.ts';
import type { Crew } from './crew.ts';
import type { Probe } from './probe.ts';
import type { Report } from './report.ts';
import type { Tally } from './tally.ts';

/** A profile's own options with their defaults; the type of the default is the type of the option. */
export type OptionSpecs = Readonly<
  Record<string, { readonly value: number | string | boolean; readonly help: string }>
>;
export type OptionValues = Readonly<Record<string, number | string | boolean>>;

/** What one worker is to do: its part of the users is up to the profile. */
export interface Share {
  readonly worker: number;
  readonly workers: number;
  readonly target: Target;
  /** The server that the first one talks to, for a profile that needs one. */
  readonly partner?: Target;
  /** The nodes of the cluster, for a profile that needs one. */
  readonly nodes?: readonly Target[];
  readonly users: number;
  readonly options: OptionValues;
}

/** The named steps of a worker. The conductor starts each one in all workers at once and gets the sum of their tallies. */
export type Steps = Readonly<Record<string, (seconds: number) => Promise<Tally>>>;

export interface Bench {
  readonly users: number;
  readonly options: OptionValues;
  readonly crew: Crew;
  readonly probe: Probe;
  /** Of the server that the first one talks to. */
  readonly partnerProbe: Probe;
  /** Where the Redis of the cluster is. */
  readonly redis: string | undefined;
}

/** How a server and the one it talks to are set up. */
export interface Partnership {
  /** Of the other server. */
  readonly domain: string;
  /** They know each other by dialback, not by certificates. */
  readonly isDialback: boolean;
}

export interface Profile {
  readonly summary: string;
  readonly options: OptionSpecs;
  /** A server that is started for it needs archive, carbons and stream management, whether `--full` is said or not. */
  readonly needsFull?: true;
  /** The first user and all others are each other's contacts: a server that is started for it may know them as such from the beginning. */
  readonly hasFriends?: true;
  /** It is about two servers that talk to each other: they are started for it. */
  readonly partnership?: (options: OptionValues) => Partnership;
  /** It is about a cluster of so many nodes, which is started for it; the partner is a server that has no Redis. */
  readonly nodes?: (options: OptionValues) => number;
  /** How many users the options call for, unless `--users` says so. */
  defaultUsers(options: OptionValues): number;
  work(share: Share): Steps;
  conduct(bench: Bench): Promise<Report>;
}

export function numberOption(options: OptionValues, name: string): number {
  const value = options[name];
  if (typeof value !== 'number') throw new Error(`option --${name} is not a number`);
  return value;
}

/** The users of one worker: `worker + 1`, then every `workers`-th. Numbers count from 1. */
export function usersOf(share: Share): number[] {
  const numbers: number[] = [];
  for (let n = share.worker + 1; n <= share.users; n += share.workers) numbers.push(n);
  return numbers;
}

/** Runs `work` on every item, at most `width` at a time. */
export async function eachLimited<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}

export function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
