// What may go wrong with storage, told apart by what the layers above should do about it.

/** The database does not answer (down, restarting, overloaded, closed): try again later. Upper layers answer `resource-constraint`, type `wait`. */
export class StorageUnavailable extends Error {
  override readonly name = 'StorageUnavailable';
}

/** This value or key can never be stored: not JSON, U+0000, half a surrogate pair, too long. Upper layers answer `bad-request`. */
export class UnstorableValue extends TypeError {
  override readonly name = 'UnstorableValue';
}

/** What lies in the database does not fit this program: made by a newer version, or declared otherwise. The server must not start. */
export class StorageMismatch extends Error {
  override readonly name = 'StorageMismatch';
}
