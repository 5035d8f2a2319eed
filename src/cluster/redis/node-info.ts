// What a node says of itself, as Redis keeps it; other releases may say less, or more.
import type { NodeId } from '../cluster.ts';
import type { Protocol } from './protocol.ts';

/** What a node says of itself with every beat. */
export interface NodeInfo {
  readonly version: string;
  /** In milliseconds since 1970. */
  readonly started: number;
  readonly sessions: number;
  /** In milliseconds. */
  readonly lag: number;
  readonly protocol: Protocol;
  /** Tells settings that all nodes should have in common from others. */
  readonly settings?: string;
}

export function readInfo(json: string | undefined): NodeInfo {
  const {
    version = '',
    started = 0,
    sessions = 0,
    lag = 0,
    protocol = [1, 1],
    settings,
  } = JSON.parse(json ?? '{}') as Partial<NodeInfo>;
  return { version, started, sessions, lag, protocol, ...(settings === undefined ? {} : { settings }) };
}

/** As it stands before the life of a node. */
export function nameOf(node: NodeId): string {
  return node.slice(0, node.lastIndexOf(':'));
}
