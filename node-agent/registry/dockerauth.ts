/** Entries of `auths` in Docker's configuration, as pull secrets have them, too. */
import type { RegistryCredentials } from '../runtime/imageservice.ts'

export interface DockerAuth {
  username?: string | undefined
  password?: string | undefined
  auth?: string | undefined
  identitytoken?: string | undefined
  registrytoken?: string | undefined
}

/** `auth` is base64 of `user:password`, and wins. */
export function credentialsOf({ auth, username, password, identitytoken, registrytoken }: DockerAuth): RegistryCredentials {
  const decoded = auth ? Buffer.from(auth, 'base64').toString('utf8') : ''
  const colon = decoded.indexOf(':')
  const [user, secret] = colon < 0 ? [username, password] : [decoded.slice(0, colon), decoded.slice(colon + 1)]
  return {
    ...(user ? { username: user } : {}),
    ...(secret ? { password: secret } : {}),
    ...(identitytoken ? { identityToken: identitytoken } : {}),
    ...(registrytoken ? { registryToken: registrytoken } : {}),
  }
}
