// Who owns what: rendezvous hashing. Of all nodes the one whose name goes best with the key owns it, so that a node which comes or
// goes moves only what it owns itself. By name, not by life: after a restart a node owns what it owned before.

/** So that a key's owner can be told for each stanza: one pass over the key, and one multiplication or three for each node. */
export class Ring<N extends string> {
  private readonly nodes: readonly { readonly node: N; readonly seed: number }[];

  /** @param nodes at least one, and how they are named */
  constructor(nodes: Iterable<N>, nameOf: (node: N) => string) {
    this.nodes = [...nodes].sort().map((node) => ({ node, seed: hash(nameOf(node)) }));
  }

  owner(key: string): N {
    const code = hash(key);
    let best = this.nodes[0]!;
    let most = -1;
    for (const candidate of this.nodes) {
      const weight = mix(code ^ candidate.seed);
      if (weight > most) {
        most = weight;
        best = candidate;
      }
    }
    return best.node;
  }
}

/** FNV-1a over UTF-16 units, mixed. */
function hash(text: string): number {
  let code = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) code = Math.imul(code ^ text.charCodeAt(i), 0x01000193);
  return mix(code);
}

/** The finaliser of MurmurHash3: every bit of the result depends on every bit given. */
function mix(code: number): number {
  let mixed = code ^ (code >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
