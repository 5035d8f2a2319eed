// The server's side of SOCKS5 (RFC 1928), as far as bytestreams over XMPP need it (XEP-0065 8.1): CONNECT to a name, without authentication. The
// name is no host; it is what two peers have in common.

/** What came of some bytes. */
export interface Socks5Step {
  /** To be written. */
  readonly reply: Buffer | undefined;
  /** The name that is asked for; the answer is yours to give, by {@link Socks5.granted} or {@link Socks5.refused}. */
  readonly name?: string;
  /** Nothing good comes of this connection: what is to be written is the last of it. */
  readonly isOver?: boolean;
}

const VERSION = 5;
const CONNECT = 1;
const DOMAIN = 3;
/** RFC 1928 6 */
const GENERAL_FAILURE = 1;
const NOT_ALLOWED = 2;
const COMMAND_UNKNOWN = 7;
const ADDRESS_UNKNOWN = 8;

/** The longest of both messages: VER NMETHODS METHODS, and VER CMD RSV ATYP LEN DST.ADDR DST.PORT. */
const LONGEST = 2 + 255 + 7 + 255;
const MORE: Socks5Step = { reply: undefined };

/** One connection until it is known what it is for. */
export class Socks5 {
  private bytes: Buffer = Buffer.alloc(0);
  private isGreeted = false;
  /** DST.ADDR and DST.PORT as they came, which are told back (XEP-0065 5.3.2). */
  private destination: Buffer = Buffer.alloc(0);

  /** Takes bytes as they come; to be asked again with none after a reply, as long as that brings something. */
  take(chunk: Buffer): Socks5Step {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    const step = this.isGreeted ? this.request() : this.greeting();
    if (step !== MORE) return step;
    return this.bytes.length > LONGEST ? { reply: undefined, isOver: true } : MORE;
  }

  granted(): Buffer {
    return this.answer(0);
  }

  refused(): Buffer {
    return this.answer(NOT_ALLOWED);
  }

  /** RFC 1928 3 */
  private greeting(): Socks5Step {
    const { bytes } = this;
    if (bytes.length > 0 && bytes[0] !== VERSION) return { reply: undefined, isOver: true };
    if (bytes.length < 2 || bytes.length < 2 + bytes[1]!) return MORE;
    const methods = bytes.subarray(2, 2 + bytes[1]!);
    this.bytes = bytes.subarray(2 + methods.length);
    this.isGreeted = true;
    if (!methods.includes(0)) return { reply: Buffer.from([VERSION, 0xff]), isOver: true };
    return { reply: Buffer.from([VERSION, 0]) };
  }

  /** RFC 1928 4 */
  private request(): Socks5Step {
    const { bytes } = this;
    if (bytes.length < 5) return MORE;
    if (bytes[0] !== VERSION) return this.fail(GENERAL_FAILURE);
    if (bytes[1] !== CONNECT) return this.fail(COMMAND_UNKNOWN);
    if (bytes[3] !== DOMAIN) return this.fail(ADDRESS_UNKNOWN);
    const end = 5 + bytes[4]! + 2;
    if (bytes.length < end) return MORE;
    this.destination = bytes.subarray(3, end);
    // (what comes after it came before there was anybody to read it)
    this.bytes = Buffer.alloc(0);
    return { reply: undefined, name: this.destination.toString('latin1', 2, this.destination.length - 2) };
  }

  private fail(code: number): Socks5Step {
    return { reply: this.answer(code), isOver: true };
  }

  /** RFC 1928 6; without a destination yet, an address of zeros. */
  private answer(code: number): Buffer {
    const bound = this.destination.length > 0 ? this.destination : Buffer.from([1, 0, 0, 0, 0, 0, 0]);
    return Buffer.concat([Buffer.from([VERSION, code, 0]), bound]);
  }
}
