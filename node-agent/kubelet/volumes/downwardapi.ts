/** downwardAPI: fields of the pod as files that follow its labels and annotations. */
import { mkdir } from 'node:fs/promises'
import { atomicWrite } from './atomicwriter.ts'
import { downwardFiles } from './payload.ts'
import type { VolumePlugin } from './plugin.ts'

export const downwardAPIVolume: VolumePlugin = {
  name: 'kubernetes.io/downward-api',
  matches: volume => volume.downwardAPI !== undefined,
  follows: true,
  owns: true,
  onNodeDisk: () => true,
  usage: () => 'tree',
  async setUp(ctx) {
    const source = ctx.volume.downwardAPI!
    await mkdir(ctx.directory, { recursive: true, mode: 0o755 })
    await atomicWrite(ctx.directory, downwardFiles(source.items, ctx, source.defaultMode), ctx.pod.spec.securityContext?.fsGroup)
    return ctx.directory
  },
}
