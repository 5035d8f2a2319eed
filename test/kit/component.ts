// An external component whose every word a test writes (XEP-0114).
import { createHash } from 'node:crypto';
import { type Address, StreamClient } from './client.ts';
import { told } from './server-peer.ts';

/** Opens a stream for a domain; returns the stream's id. @throws Error with what came instead */
export async function openComponent(client: StreamClient, domain: string): Promise<string> {
  client.write(
    `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`,
  );
  const header = await client.next();
  if (header?.kind !== 'header') throw new Error(`no stream header: ${told(header)}`);
  return String(header.element.attrs.id);
}

export function handshakeOf(id: string, secret: string): string {
  return `<handshake>${createHash('sha1').update(`${id}${secret}`).digest('hex')}</handshake>`;
}

/** Connects as a component. @throws Error with what came in place of the handshake */
export async function connectComponent(address: Address, domain: string, secret: string): Promise<StreamClient> {
  const client = await StreamClient.connect(address);
  client.write(handshakeOf(await openComponent(client, domain), secret));
  const answer = await client.next();
  if (answer?.kind !== 'element' || answer.element.name !== 'handshake') throw new Error(told(answer));
  return client;
}
