/** What a node knows of registries by itself, for all its pods: Docker's configuration, and credential provider plugins. */
import type { Logger } from '#shared/component/log.ts'
import type { RegistryCredentials } from '../../runtime/imageservice.ts'
import type { ImageReference } from '../../runtime/images/reference.ts'
import { dockerConfigCredentials, dockerConfigPaths } from './dockerconfig.ts'

/** Never rejects: what is wrong is logged, and the pull tells what it lacks. */
export type NodeCredentials = (image: ImageReference) => Promise<RegistryCredentials[]>

/** A source of credentials; what it rejects with is logged. */
export type CredentialSourceOfNode = (image: ImageReference) => Promise<RegistryCredentials[]>

export function nodeCredentials(rootDir: string, plugins: readonly CredentialSourceOfNode[], log: Logger): NodeCredentials {
  const files = dockerConfigPaths(rootDir)
  const sources: CredentialSourceOfNode[] = [...plugins, image => dockerConfigCredentials(image, files)]
  return async image => {
    const found = await Promise.all(
      sources.map(source =>
        source(image).catch((error: Error) => {
          log.warn({ image: image.canonical, err: error.message }, 'credentials of the node not found')
          return []
        }),
      ),
    )
    return found.flat()
  }
}
