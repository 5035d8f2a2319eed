// What nodes say to one another, and what they keep in Redis, has a version. A node understands that of the release before its own, so
// that the nodes of a cluster can be updated one after another; two that have no version in common must not meet.

/** The oldest and the newest version that a node understands. */
export type Protocol = readonly [oldest: number, newest: number];

/** What this release understands. Raise the newest with a change that older nodes would misread, and the oldest a release later. */
export const ownProtocol: Protocol = [1, 1];

export function isUnderstood([oldest, newest]: Protocol, [otherOldest, otherNewest]: Protocol): boolean {
  return oldest <= otherNewest && otherOldest <= newest;
}

/** A node that this one could not talk to is in the cluster. */
export class ProtocolMismatch extends Error {
  override readonly name = 'ProtocolMismatch';
  constructor(node: string, version: string, theirs: Protocol, own: Protocol = ownProtocol) {
    super(
      `node ${node} runs version ${version || '?'}, which is too far from this one (it speaks ${spoken(theirs)}, this one ${spoken(own)}): ` +
        'update a cluster one release at a time, or stop all its nodes first',
    );
  }
}

const spoken = ([oldest, newest]: Protocol): string =>
  oldest === newest ? `protocol ${newest}` : `protocols ${oldest} to ${newest}`;
