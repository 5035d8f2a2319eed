// What comes from outside waits before it while this node cannot know whether it may act on it.

export interface Gate {
  /** Asked each time something is read: it costs next to nothing, and may close from one turn of the event loop to the next. */
  readonly isOpen: boolean;
  /** Resolves when it is open (again); never rejects. */
  opened(): Promise<void>;
}
