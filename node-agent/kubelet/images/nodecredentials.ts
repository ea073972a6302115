/** What a node knows of registries by itself, for all its pods: Docker's configuration, and credential provider plugins. */
import type { Logger } from '#shared/component/log.ts'
import type { ImageReference } from '../../runtime/images/reference.ts'
import type { PodContext } from '../context.ts'
import type { PullCredentials } from './credentials.ts'
import { dockerConfigCredentials, dockerConfigPaths } from './dockerconfig.ts'

/** The pod that wants an image, and what it may look up. */
export type ImageUser = Pick<PodContext, 'pod' | 'sources'>

/** Never rejects: what is wrong is logged, and the pull tells what it lacks. */
export type NodeCredentials = (image: ImageReference, user: ImageUser) => Promise<PullCredentials[]>

/** A source of credentials; what it rejects with is logged. */
export type CredentialSourceOfNode = NodeCredentials

export function nodeCredentials(rootDir: string, plugins: readonly CredentialSourceOfNode[], log: Logger): NodeCredentials {
  const files = dockerConfigPaths(rootDir)
  const sources: CredentialSourceOfNode[] = [
    ...plugins,
    async image => (await dockerConfigCredentials(image, files)).map(credentials => ({ credentials })),
  ]
  return async (image, user) => {
    const found = await Promise.all(
      sources.map(source =>
        source(image, user).catch((error: Error) => {
          log.warn({ image: image.canonical, err: error.message }, 'credentials of the node not found')
          return []
        }),
      ),
    )
    return found.flat()
  }
}
