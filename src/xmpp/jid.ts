// Addresses (RFC 7622).

export type BareJid = string & { readonly __brand: 'bare' };
export interface Jid {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
  readonly bare: BareJid;
  readonly full: string;
  readonly isBare: boolean;
  withResource(resource: string): Jid;
}
