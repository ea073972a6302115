/** projected: several sources in one directory, service account tokens among them. */
import { Buffer } from 'node:buffer'
import type { Pod } from '#shared/api/core/pod.ts'
import type { VolumeProjection } from '#shared/api/core/podspec/projectedvolume.ts'
import { allContainers } from '../pod/containers.ts'
import { atomicWrite, type ProjectedFile } from './atomicwriter.ts'
import { configMapFiles, downwardFiles, secretFiles } from './payload.ts'
import type { VolumeContext, VolumePlugin } from './plugin.ts'
import { trustAnchors } from './trustanchors.ts'

/** The user of all containers when it is the same one: the token is his alone then. */
function commonUser(pod: Pod): number | undefined {
  const users = new Set(allContainers(pod).map(c => c.container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser))
  return users.size === 1 ? [...users][0] : undefined
}

async function files(source: VolumeProjection, ctx: VolumeContext, mode: number | undefined): Promise<Map<string, ProjectedFile>> {
  const { configMap, secret, downwardAPI, clusterTrustBundle: anchors, serviceAccountToken: token } = source
  // Off in v1.35 unless it is asked for: the words of a kubelet that has it off.
  if (source.podCertificate) throw new Error('PodCertificate projection is not supported')
  if (configMap) return configMapFiles(configMap.name ?? '', await ctx.sources.configMap(configMap.name ?? ''), configMap, mode)
  if (secret) return secretFiles(secret.name ?? '', await ctx.sources.secret(secret.name ?? ''), secret, mode)
  if (downwardAPI) return downwardFiles(downwardAPI.items, ctx, mode)
  const uid = commonUser(ctx.pod)
  const narrow = uid !== undefined || ctx.pod.spec.securityContext?.fsGroup !== undefined
  const file = (path: string, text: string): Map<string, ProjectedFile> =>
    new Map([[path, { data: Buffer.from(text), mode: narrow ? 0o600 : (mode ?? 0o644), ...(uid === undefined ? {} : { uid }) }]])
  if (anchors) return file(anchors.path, await trustAnchors(anchors, ctx.sources))
  if (!token) throw new Error(`projected source ${Object.keys(source)[0] ?? ''} is not supported`)
  return file(token.path, await ctx.sources.token(token.audience ?? '', token.expirationSeconds ?? 3600))
}

export const projected: VolumePlugin = {
  name: 'kubernetes.io/projected',
  matches: volume => volume.projected !== undefined,
  follows: true,
  owns: true,
  onNodeDisk: () => false,
  usage: () => 'tree',
  async setUp(ctx) {
    const { sources = [], defaultMode } = ctx.volume.projected!
    const results = await Promise.allSettled(sources.map(s => files(s, ctx, defaultMode)))
    const errors = results.flatMap(r => (r.status === 'rejected' ? [(r.reason as Error).message] : []))
    if (errors.length > 0) throw new Error(errors.length === 1 ? errors[0] : `[${errors.join(', ')}]`)
    const payload = new Map(results.flatMap(r => (r.status === 'fulfilled' ? [...r.value] : [])))
    const directory = await ctx.inMemory()
    await atomicWrite(directory, payload, ctx.pod.spec.securityContext?.fsGroup)
    return directory
  },
}
