// XEP-0092: Software Version.
import { release, type as system } from 'node:os';
import { z } from 'zod';
import { softwareName, softwareVersion } from '../base/software.ts';
import { defineModule, iqGet } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';

export default defineModule({
  xeps: ['XEP-0092 1.1'],
  summary: 'Tells which software this is',
  hosts: ['users', 'rooms', 'pubsub', 'upload', 'proxy'],
  config: z.strictObject({
    // 4: what runs beneath helps an attacker more than anybody else
    os: z.boolean().prefault(false).meta({ description: 'Also tell the operating system.' }),
  }),

  setup({ config }) {
    const line = (name: string, text: string): Element => el(name, NS.version, undefined, text);
    const answer = el(
      'query',
      NS.version,
      undefined,
      line('name', softwareName),
      line('version', softwareVersion()),
      ...(config.os ? [line('os', `${system()} ${release()}`)] : []),
    );
    return {
      features: { server: [NS.version] },
      handlers: [iqGet('host', NS.version, 'query', () => answer)],
    };
  },
});
