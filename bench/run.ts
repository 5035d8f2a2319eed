// Runs one profile against one server.

import { Client, type Target } from './load/client.ts';
import { Crew } from './load/crew.ts';
import { Probe } from './load/probe.ts';
import { eachLimited, type OptionValues } from './load/profile.ts';
import type { Report } from './load/report.ts';
import { profileNamed } from './profiles/index.ts';

/** A server under load. */
export interface Place {
  readonly target: Target;
  readonly pids: readonly number[];
  readonly databasePids?: readonly number[];
}

export interface RunOptions extends Place {
  /** The server that it talks to, for a profile that needs one. */
  readonly partner?: Place;
  /** The nodes of a cluster, whose processes are all measured with its Redis, and where that is. */
  readonly nodes?: readonly Target[];
  readonly redis?: string;
  readonly users: number;
  readonly workers: number;
  readonly options: OptionValues;
}

/** Throws when the load cannot be made at all; failures under load are in the report. */
export async function runProfile(name: string, run: RunOptions): Promise<Report> {
  const { target, partner, nodes, redis, users, workers, options } = run;
  const profile = profileNamed(name);
  const crew = await Crew.start(name, {
    workers,
    target,
    ...(partner === undefined ? {} : { partner: partner.target }),
    ...(nodes === undefined ? {} : { nodes }),
    users,
    options,
  });
  try {
    return await profile.conduct({ users, options, crew, probe: probeOf(run), partnerProbe: probeOf(partner), redis });
  } finally {
    crew.stop();
  }
}

function probeOf(place: Place | undefined): Probe {
  return new Probe(place?.pids ?? [], place?.databasePids);
}

/** Registers the users in-band. */
export async function registerUsers(target: Target, users: number): Promise<void> {
  const numbers = Array.from({ length: users }, (_, i) => i + 1);
  await eachLimited(numbers, 16, (number) => new Client(target, number).register());
}
