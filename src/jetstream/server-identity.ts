import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { ServerAddress } from './settings.ts';

/** Node's, as an option of a TLS connection: an error refuses the certificate. */
export type IdentityCheck = (name: string, certificate: PeerCertificate) => Error | undefined;

/** What Node asks about where the client names no host, as it does for every server that is given by address. */
const NO_NAME = 'localhost';

/**
 * The certificate must be for one of the servers that were asked for, or for the one that the client says it dials. The
 * client alone would take a certificate for `localhost` from any server that is given by address, and none that is for the
 * address.
 */
export function createIdentityCheck(asked: () => readonly ServerAddress[]): IdentityCheck {
  return (name, certificate) => {
    const hosts = asked().map(({ host }) => host);
    const names = name === NO_NAME ? hosts : [name, ...hosts];
    const faults = names.map((host) => checkServerIdentity(host, certificate));
    return faults.includes(undefined) ? undefined : faults[0];
  };
}
