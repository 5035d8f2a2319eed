// The logger, as everything below the composition root sees it.

type LogFn = (fields: object, message?: string) => void;

/** Never given stanza bodies, passwords, tokens or other secrets. */
export interface Logger {
  debug: LogFn;
  info: LogFn;
  warn: LogFn;
  error: LogFn;
  /** A logger that adds these fields to every line. */
  child(fields: object): Logger;
}

/** Drops everything; for tests and tools. */
export const silent: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent,
};
