// Questions that are asked at the same moment, asked as one.

/** Keys in one question. */
const MOST = 1000;

interface Waiting<A> {
  readonly promise: Promise<A>;
  answer(value: A): void;
  refuse(reason: unknown): void;
}

/** Whoever asks while nothing else could happen in between is answered by one question about all their keys. */
export class Together<A> {
  private readonly question: (keys: readonly string[]) => Promise<ReadonlyMap<string, A>>;
  private readonly nobody: () => A;
  private waiting = new Map<string, Waiting<A>>();

  /**
   * @param question asks about some keys, none of them twice
   * @param nobody the answer for a key of which it tells nothing
   */
  constructor(question: (keys: readonly string[]) => Promise<ReadonlyMap<string, A>>, nobody: () => A) {
    this.question = question;
    this.nobody = nobody;
  }

  /** Asks about one key. */
  ask(key: string): Promise<A> {
    const known = this.waiting.get(key);
    if (known !== undefined) return known.promise;
    // what promises lead to is done first: it may ask for more
    if (this.waiting.size === 0) process.nextTick(() => this.flush());
    const { promise, resolve, reject } = withResolvers<A>();
    this.waiting.set(key, { promise, answer: resolve, refuse: reject });
    if (this.waiting.size >= MOST) this.flush();
    return promise;
  }

  private flush(): void {
    const { waiting } = this;
    if (waiting.size === 0) return;
    this.waiting = new Map();
    this.question([...waiting.keys()]).then(
      (answers) => {
        for (const [key, { answer }] of waiting) answer(answers.get(key) ?? this.nobody());
      },
      (reason: unknown) => {
        for (const { refuse } of waiting.values()) refuse(reason);
      },
    );
  }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (reason: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
