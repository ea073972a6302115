/** `--cluster-signing-...`: which authority signs for which signer (pkg/controller/certificates/signer/config). */
import { readFile } from 'node:fs/promises'
import { kubeApiserverClient, kubeApiserverClientKubelet, kubeletServing, legacyUnknown } from '../../certificates/signers.ts'
import type { Authority, SigningSettings } from '../context.ts'

/** As the flags call them. */
const signers = {
  KubeletServing: kubeletServing,
  KubeletClient: kubeApiserverClientKubelet,
  KubeApiserverClient: kubeApiserverClient,
  LegacyUnknown: legacyUnknown,
} as const
type Flag = `clusterSigning${'' | keyof typeof signers}${'Cert' | 'Key'}File`
export type SigningFlags = { readonly [flag in Flag]?: string | undefined }

/**
 * Either the common authority or those of single signers: who has none of its own then has none. Rejects when flags of both kinds, or only
 * one of a pair, are given, or a file cannot be read.
 */
export async function authorities(flags: SigningFlags): Promise<Pick<SigningSettings, 'cert' | 'key' | 'authorities'>> {
  const read = async (name: '' | keyof typeof signers): Promise<Authority | undefined> => {
    const [cert, key] = [flags[`clusterSigning${name}CertFile`], flags[`clusterSigning${name}KeyFile`]]
    const flag = `cluster-signing${name.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)}`
    if ((cert === undefined) !== (key === undefined)) throw new Error(`--${flag}-cert-file and --${flag}-key-file go together`)
    return cert === undefined ? undefined : { cert: await readFile(cert, 'utf8'), key: await readFile(key!, 'utf8') }
  }
  const common = await read('')
  const own: Record<string, Authority> = {}
  for (const [name, signer] of Object.entries(signers) as [keyof typeof signers, string][]) {
    const authority = await read(name)
    if (authority) own[signer] = authority
  }
  if (common && Object.keys(own).length > 0)
    throw new Error('cannot specify --cluster-signing-{cert,key}-file and other --cluster-signing-*-file flags at the same time')
  return { cert: common?.cert ?? '', key: common?.key ?? '', authorities: own }
}
