/**
 * Who may use an image that is there: as upstream's KubeletEnsureSecretPulledImages, an image that was pulled with a Secret is for pods
 * that have it, one that was pulled as a service account for that one's pods, and both for those whom the registry lets in itself; one
 * that was there before, or that the node or anybody may have, is for all.
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

const account = z.object({ uid: z.string(), namespace: z.string(), name: z.string() })
const credentials = z.object({
  nodePodsAccessible: z.boolean().optional(),
  kubernetesSecrets: z.array(account.extend({ credentialHash: z.string() })).optional(),
  kubernetesServiceAccounts: z.array(account).optional(),
})
const record = z.object({ imageRef: z.string(), credentialMapping: z.record(z.string(), credentials) })
type Record = z.output<typeof record>

/** As many Secrets, and service accounts, of one image as are remembered. */
const maxSources = 100
const isSame = (a: CredentialSource, b: CredentialSource): boolean => a.uid === b.uid && a.namespace === b.namespace && a.name === b.name

export interface PullRecords {
  /**
   * Whether the registry must be asked for an image that is there, for a pod with these Secrets or as this service account. `repository`:
   * its name without tag and digest.
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
    const list = by !== 'anybody' && by.credentialHash === undefined ? 'kubernetesServiceAccounts' : 'kubernetesSecrets'
    const others = (before?.[list] ?? []).filter(s => by !== 'anybody' && !isSame(s, by))
    const now = by === 'anybody' ? { nodePodsAccessible: true } : { ...before, [list]: [...others, by].slice(-maxSources) }
    await write(pulled(imageRef), {
      kind: 'ImagePulledRecord',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      lastUpdatedTime: new Date().toISOString(),
      imageRef,
      credentialMapping: { ...credentialMapping, [repository]: now },
    })
  }
  /** How many pulls of an image: with other credentials there may be several. */
  const underWay = new Map<string, number>()
  function wasLast(image: string): boolean {
    const others = (underWay.get(image) ?? 1) - 1
    if (others > 0) underWay.set(image, others)
    else underWay.delete(image)
    return others <= 0
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
      for (const secret of secrets) {
        if (secret.credentialHash === undefined) {
          if (known?.kubernetesServiceAccounts?.some(one => isSame(one, secret))) return false
          continue
        }
        for (const one of known?.kubernetesSecrets ?? []) {
          const same = isSame(one, secret)
          const sameHash = one.credentialHash === secret.credentialHash
          if (!same && !sameHash) continue
          // The Secret was rotated, or another has the same in it: next time it is known.
          if (same !== sameHash) await add(repository, imageRef, secret).catch(() => {})
          return false
        }
      }
      return true
    },
    async begin(image) {
      underWay.set(image, (underWay.get(image) ?? 0) + 1)
      const intent = { kind: 'ImagePullIntent', apiVersion: 'kubelet.config.k8s.io/v1beta1', image }
      try {
        await write(pulling(image), intent)
      } catch (e) {
        wasLast(image)
        throw e
      }
    },
    async end(image, result) {
      if (result) await add(result.repository, result.imageRef, result.by)
      // Another one is still to be told from an image that was there before.
      if (wasLast(image)) await rm(pulling(image), { force: true })
    },
    forget: imageRef => rm(pulled(imageRef), { force: true }),
  }
}
