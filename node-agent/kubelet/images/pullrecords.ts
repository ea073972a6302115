/**
 * Who may use an image that is there: as upstream's KubeletEnsureSecretPulledImages, an image that was pulled with a Secret is for pods
 * that have it, or are let in by the registry themselves; one that was there before, or that the node or anybody may have, is for all.
 *
 *     pulled/<hash of the image's id>    what let us in, by repository; in the form of upstream's ImagePulledRecord
 *     pulling/<hash of the name>         a pull is, or was, under way
 *
 * The nodes of a machine share their images, and so these.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { CredentialSource } from './credentials.ts'

export type VerificationPolicy = 'NeverVerify' | 'NeverVerifyPreloadedImages' | 'NeverVerifyAllowlistedImages' | 'AlwaysVerify'

const source = z.object({ uid: z.string(), namespace: z.string(), name: z.string(), credentialHash: z.string() })
const credentials = z.object({ nodePodsAccessible: z.boolean().optional(), kubernetesSecrets: z.array(source).optional() })
const record = z.object({ imageRef: z.string(), credentialMapping: z.record(z.string(), credentials) })
type Record = z.output<typeof record>

/** As many Secrets of one image as are remembered. */
const maxSecrets = 100

export interface PullRecords {
  /**
   * Whether a pod with these Secrets must have the registry asked for an image that is there. `repository`: its name without tag and
   * digest.
   */
  mustVerify(image: string, repository: string, imageRef: string, secrets: readonly CredentialSource[]): Promise<boolean>
  /** A pull begins. */
  begin(image: string): Promise<void>
  /** It has ended: with the Secret that let us in, or `anybody`; undefined: in vain. */
  end(image: string, result?: { repository: string; imageRef: string; by: CredentialSource | 'anybody' }): Promise<void>
  /** The image is gone. */
  forget(imageRef: string): Promise<void>
}

/** `allowed`: repositories, or beginnings of their names with `/*`, that NeverVerifyAllowlistedImages is about. */
export function pullRecords(directory: string, policy: VerificationPolicy, allowed: readonly string[] = []): PullRecords {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
  const pulled = (imageRef: string): string => join(directory, 'pulled', hash(imageRef))
  const pulling = (image: string): string => join(directory, 'pulling', hash(image))

  async function read(imageRef: string): Promise<Record | undefined> {
    const bytes = await readFile(pulled(imageRef)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (bytes === undefined) return undefined
    try {
      return record.parse(JSON.parse(bytes.toString('utf8')))
    } catch {
      // Whatever it was: that it is there says that the image was pulled.
      return { imageRef, credentialMapping: {} }
    }
  }
  async function write(file: string, content: object): Promise<void> {
    await mkdir(join(file, '..'), { recursive: true, mode: 0o700 })
    const fresh = `${file}.${randomUUID()}`
    await writeFile(fresh, JSON.stringify(content), { mode: 0o600 })
    await rename(fresh, file)
  }
  async function add(repository: string, imageRef: string, by: CredentialSource | 'anybody'): Promise<void> {
    const { credentialMapping } = (await read(imageRef)) ?? { credentialMapping: {} as Record['credentialMapping'] }
    const before = credentialMapping[repository]
    if (before?.nodePodsAccessible) return
    const others = (before?.kubernetesSecrets ?? []).filter(
      s => by !== 'anybody' && !(s.uid === by.uid && s.namespace === by.namespace && s.name === by.name),
    )
    const now = by === 'anybody' ? { nodePodsAccessible: true } : { kubernetesSecrets: [...others, by].slice(-maxSecrets) }
    await write(pulled(imageRef), {
      kind: 'ImagePulledRecord',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      lastUpdatedTime: new Date().toISOString(),
      imageRef,
      credentialMapping: { ...credentialMapping, [repository]: now },
    })
  }
  const isAllowed = (repository: string): boolean =>
    allowed.some(name => (name.endsWith('/*') ? repository.startsWith(name.slice(0, -1)) : repository === name))

  return {
    async mustVerify(image, repository, imageRef, secrets) {
      if (policy === 'NeverVerify' || (policy === 'NeverVerifyAllowlistedImages' && isAllowed(repository))) return false
      const found = await read(imageRef)
      const wasPulled = found !== undefined || (await stat(pulling(image)).catch(() => undefined)) !== undefined
      if (policy === 'NeverVerifyPreloadedImages' && !wasPulled) return false
      const known = found?.credentialMapping[repository]
      if (known?.nodePodsAccessible) return false
      for (const secret of secrets)
        for (const one of known?.kubernetesSecrets ?? []) {
          const same = one.uid === secret.uid && one.namespace === secret.namespace && one.name === secret.name
          const sameHash = one.credentialHash === secret.credentialHash
          if (!same && !sameHash) continue
          // The Secret was rotated, or another has the same in it: next time it is known.
          if (same !== sameHash) await add(repository, imageRef, secret).catch(() => {})
          return false
        }
      return true
    },
    begin: image => write(pulling(image), { kind: 'ImagePullIntent', apiVersion: 'kubelet.config.k8s.io/v1beta1', image }),
    async end(image, result) {
      if (result) await add(result.repository, result.imageRef, result.by)
      await rm(pulling(image), { force: true })
    },
    forget: imageRef => rm(pulled(imageRef), { force: true }),
  }
}
