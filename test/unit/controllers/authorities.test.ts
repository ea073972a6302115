import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { authorities } from '#control-plane/controller-manager/certificates/authorities.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-authorities-'))
  for (const name of ['a.crt', 'a.key']) await writeFile(join(dir, name), name)
})
afterAll(() => rm(dir, { recursive: true, force: true }))

it('flags name one authority for all signers, or some of their own', async () => {
  const [cert, key] = [join(dir, 'a.crt'), join(dir, 'a.key')]
  const pair = { cert: 'a.crt', key: 'a.key' }
  expect(await authorities({})).toEqual({ cert: '', key: '', authorities: {} })
  expect(await authorities({ clusterSigningCertFile: cert, clusterSigningKeyFile: key })).toMatchObject(pair)
  const own = { clusterSigningKubeApiserverClientCertFile: cert, clusterSigningKubeApiserverClientKeyFile: key }
  expect(await authorities(own)).toEqual({ cert: '', key: '', authorities: { 'kubernetes.io/kube-apiserver-client': pair } })
  await expect(authorities({ ...own, clusterSigningCertFile: cert, clusterSigningKeyFile: key })).rejects.toThrow('at the same time')
  await expect(authorities({ clusterSigningKubeletServingCertFile: cert })).rejects.toThrow(
    '--cluster-signing-kubelet-serving-cert-file and --cluster-signing-kubelet-serving-key-file go together',
  )
})
