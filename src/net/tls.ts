// TLS as the layers above see it.

/** What is known of a connection's TLS. */
export interface TlsInfo {
  /** `TLSv1.3`. */
  readonly protocol: string;
  /** The IANA name of the cipher suite. */
  readonly cipher: string;
  /** RFC 9266; undefined below TLS 1.3. */
  readonly exporter: Buffer | undefined;
  /** RFC 5929 4; undefined where the certificate's signature has no one hash function. */
  readonly endPoint: Buffer | undefined;
  /** The name that the peer asked for (SNI). */
  readonly servername: string | undefined;
  readonly alpn: string | undefined;
  /** The peer's certificate in DER, where it showed one. It is not verified here. */
  readonly peerCertificate: Buffer | undefined;
}
