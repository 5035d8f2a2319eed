// Settings of client connections, from those of the server.
import type { Config } from '../config/server.ts';
import type { C2sSettings } from './context.ts';

/** The settings of client connections, as the configuration has them. */
export function clientSettings(config: Config): C2sSettings {
  const { limits, tls, 'stream-management': sm } = config;
  const unlimited = Number.POSITIVE_INFINITY;
  return {
    requireTls: tls.required,
    stanzaBytesBeforeAuth: limits['stanza-bytes-before-auth'],
    stanzaBytes: limits['stanza-bytes'],
    allowances: limits.enabled
      ? {
          stream: {
            bytes: { rate: limits['bytes-per-second'], burst: limits['bytes-burst'] },
            elements: { rate: limits['stanzas-per-second'], burst: limits['stanzas-burst'] },
          },
          account: {
            bytes: { rate: limits['account-bytes-per-second'], burst: limits['account-bytes-burst'] },
            elements: { rate: limits['account-stanzas-per-second'], burst: limits['account-stanzas-burst'] },
          },
          address: {
            bytes: { rate: limits['address-bytes-per-second'], burst: limits['address-bytes-burst'] },
            elements: { rate: limits['address-stanzas-per-second'], burst: limits['address-stanzas-burst'] },
          },
        }
      : undefined,
    connectionRate: limits.enabled
      ? { rate: limits['address-connections-per-second'], burst: limits['address-connections-burst'] }
      : undefined,
    outboundBytes: limits['send-queue-bytes'],
    connectionsPerAddress: limits.enabled ? limits['connections-per-address'] : unlimited,
    sessionsPerAccount: limits.enabled ? limits['sessions-per-account'] : unlimited,
    authAttempts: limits['auth-attempts'],
    preAuthTimeout: limits['auth-timeout'],
    idleTimeout: limits['idle-timeout'],
    streamManagement: {
      resumeTimeout: sm['resume-timeout'],
      ackTimeout: sm['ack-timeout'],
      queueStanzas: sm['queue-stanzas'],
      queueSize: sm['queue-bytes'],
      hibernatingSize: sm['hibernating-bytes'],
      location: sm.location,
    },
  };
}
