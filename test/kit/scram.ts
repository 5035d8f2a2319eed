// SCRAM from the client's side, written from RFC 5802 alone, with a hand in every message for those who cheat.
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

type Digest = 'sha1' | 'sha256' | 'sha512';

export interface ScramClientOptions {
  readonly digest: Digest;
  readonly username: string;
  readonly password: string;
  readonly nonce?: string;
  readonly authzid?: string;
  /** `n`, `y`, or `p=` and the type of the binding. */
  readonly flag?: string;
  readonly bindingData?: Buffer;
}

export class ScramClient {
  readonly options: ScramClientOptions;
  private readonly nonce: string;
  private serverSignature = '';

  constructor(options: ScramClientOptions) {
    this.options = options;
    this.nonce = options.nonce ?? 'fyko+d2lbbFgONRv9qkxdawL';
  }

  private get header(): string {
    const { flag = 'n', authzid } = this.options;
    return `${flag},${authzid === undefined ? '' : `a=${escapeName(authzid)}`},`;
  }

  private get bare(): string {
    return `n=${escapeName(this.options.username)},r=${this.nonce}`;
  }

  first(): Buffer {
    return Buffer.from(this.header + this.bare);
  }

  /** The final message; `change` may spoil what goes before the proof (which is then made for the spoilt one). */
  final(serverFirst: Buffer, change: (withoutProof: string) => string = (text) => text): Buffer {
    const text = serverFirst.toString();
    const fields = new Map(text.split(',').map((field) => [field.slice(0, 1), field.slice(2)] as const));
    const salt = Buffer.from(fields.get('s') ?? '', 'base64');
    const binding = Buffer.concat([Buffer.from(this.header), this.options.bindingData ?? Buffer.alloc(0)]);
    const withoutProof = change(`c=${binding.toString('base64')},r=${fields.get('r')}`);
    const { digest, password } = this.options;
    const size = createHash(digest).digest().length;
    const salted = pbkdf2Sync(password, salt, Number(fields.get('i')), size, digest);
    const hmac = (key: Buffer, data: string): Buffer => createHmac(digest, key).update(data).digest();
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = createHash(digest).update(clientKey).digest();
    const message = `${this.bare},${text},${withoutProof}`;
    const signature = hmac(storedKey, message);
    const proof = Buffer.from(clientKey.map((octet, i) => octet ^ signature[i]!));
    this.serverSignature = `v=${hmac(hmac(salted, 'Server Key'), message).toString('base64')}`;
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  /** Whether the server knows the password too. */
  accepts(data: Buffer | undefined): boolean {
    return data?.toString() === this.serverSignature;
  }
}

function escapeName(name: string): string {
  return name.replace(/=/g, '=3D').replace(/,/g, '=2C');
}
