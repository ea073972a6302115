/** Volumes that are not the pod's own: claims that are bound already, and paths of the node. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { persistentVolumeClaims, persistentVolumes, pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'
import { newSampler } from '#node-agent/kubelet/stats/sampler.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
let disk: string
beforeAll(async () => {
  h = await harness()
  disk = await mkdtemp(join(tmpdir(), 'claims-'))
})
afterAll(async () => {
  await h.close()
  await rm(disk, { recursive: true, force: true })
})

const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const message = (name: string) =>
  h.events(name).filter(e => e.reason === 'FailedMount').map(e => e.message) // prettier-ignore
const failed = async (name: string, text: string) => {
  await h.api.until(() => message(name).length > 0)
  expect(message(name)[0]).toBe(text)
  h.delete(name, 0)
}

/** A pair that is bound to each other, as its owner or a controller leaves it. */
function bound(name: string, source: object, more: { claim?: object; spec?: object; phase?: string; owner?: object } = {}): void {
  const uid = `claim-${name}`
  const common = { accessModes: ['ReadWriteOnce'], storageClassName: '' }
  h.api.put(persistentVolumes, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `pv-${name}` },
    spec: { ...common, capacity: { storage: '1Gi' }, ...source, claimRef: { namespace: 'default', name, uid }, ...more.spec },
  } as never)
  h.api.put(persistentVolumeClaims, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default', uid, ...(more.owner ? { ownerReferences: [more.owner] } : {}) },
    spec: { ...common, volumeName: `pv-${name}`, ...more.claim },
    status: { phase: more.phase ?? 'Bound' },
  } as never)
}
function user(name: string, volume: object, script: string, more: { mount?: object; spec?: Partial<Pod['spec']> } = {}) {
  return h.pod(name, {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'data', ...volume }],
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', `${script}; touch done; exec sleep 1000`],
        volumeMounts: [{ name: 'data', mountPath: '/data', ...more.mount }],
        readinessProbe: { exec: { command: ['test', '-e', 'done'] } },
      },
    ],
    ...more.spec,
  } as never)
}
const claim = (name: string, readOnly = false) => ({ persistentVolumeClaim: { claimName: name, ...(readOnly ? { readOnly } : {}) } })

describe('claims', () => {
  test('a local volume is the directory, which outlives its pods', async () => {
    bound('local', { local: { path: disk } })
    user('writer', claim('local'), 'echo word >data/word', { spec: { securityContext: { fsGroup: 4321 } } })
    await h.until('writer', isReady)
    expect(readFileSync(join(disk, 'word'), 'utf8')).toBe('word\n')
    if (isolated) expect(statSync(disk).gid).toBe(4321)
    const summary = await newSampler({ ...h.options(), kubelet: h.kubelet() }).summary()
    expect(summary.pods.find(p => p.podRef.name === 'writer')?.volume).toContainEqual(
      expect.objectContaining({
        name: 'data',
        pvcRef: { name: 'local', namespace: 'default' },
        capacityBytes: expect.any(Number) as number,
      }),
    )
    h.delete('writer', 1)
    await h.api.until(() => h.get('writer') === undefined)
    user('reader', claim('local', true), 'grep -q word data/word && ! touch data/not')
    await h.until('reader', isReady)
    if (isolated) expect(existsSync(join(disk, 'not'))).toBe(false)
    h.delete('reader', 1)
    await h.api.until(() => h.get('reader') === undefined)
    expect(readFileSync(join(disk, 'word'), 'utf8')).toBe('word\n')
  })
  test.runIf(isolated)(
    'a local volume that is a device is formatted once, mounted once for all pods, and keeps what is on it',
    async () => {
      const image = join(disk, 'image')
      await writeFile(image, '')
      await truncate(image, 16 << 20)
      const device = (await run('losetup', ['--find', '--show', image])).trim()
      try {
        bound('device', { local: { path: device } })
        user('first', claim('device'), 'echo word >data/word', { spec: { securityContext: { fsGroup: 4321 } } })
        await h.until('first', isReady)
        const mounts = async (): Promise<string[]> =>
          (await listMounts()).filter(m => m.source === device && m.target.startsWith(h.rootDir)).map(m => m.target)
        expect(await mounts()).toEqual([expect.stringMatching(/plugins\/kubernetes.io~local-volume\/\w+\/globalmount$/)])
        user('second', claim('device'), 'grep -q word data/word')
        await h.until('second', isReady)
        h.delete('first', 1)
        await h.api.until(() => h.get('first') === undefined)
        expect(await mounts()).toHaveLength(1)
        // Another kubelet ends what it has not begun.
        await h.restart()
        h.delete('second', 1)
        await h.api.until(() => h.get('second') === undefined)
        await expect.poll(mounts).toEqual([])
        user('third', claim('device'), 'grep -q word data/word')
        await h.until('third', isReady)
        h.delete('third', 1)
        await h.api.until(() => h.get('third') === undefined)
        await expect.poll(mounts).toEqual([])
        bound('other', { local: { path: device, fsType: 'xfs' } })
        user('other', claim('other'), ':')
        await h.api.until(() => message('other').length > 0)
        expect(message('other')[0]).toMatch(
          /^MountVolume.MountDevice failed for volume "pv-other" : local: failed to mount device \S+ at \S+ \(fstype: xfs\), error failed to mount the volume as "xfs", it already contains ext4. Mount error: /,
        )
        h.delete('other', 0)
        await h.api.until(() => h.get('other') === undefined)
      } finally {
        await run('losetup', ['--detach', device])
      }
    },
  )
  test('a hostPath volume is made where it is to be', async () => {
    bound('host', { hostPath: { path: join(disk, 'made'), type: 'DirectoryOrCreate' } })
    user('host', claim('host'), 'echo x >data/x')
    await h.until('host', isReady)
    expect(existsSync(join(disk, 'made/x'))).toBe(true)
    h.delete('host', 1)
  })
  test('an ephemeral volume must be its own pod`s', async () => {
    const pod = user('short', { ephemeral: { volumeClaimTemplate: { spec: {} } } }, 'touch data/short')
    await h.api.until(() => message('short').length > 0)
    expect(message('short')[0]).toMatch(
      /failed to process volumes=\[data\]: error processing PVC default\/short-data: failed to fetch PVC from API server: .*not found/,
    )
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'short', uid: pod.metadata.uid!, controller: true }
    bound('short-data', { local: { path: disk } }, { owner: { ...owner, uid: 'another' } })
    await h.api.until(() =>
      message('short').some(m => m?.endsWith('PVC default/short-data was not created for pod default/short (pod is not owner)')),
    )
    bound('short-data', { local: { path: disk } }, { owner })
    await h.until('short', isReady)
    h.delete('short', 1)
  })
  test('what cannot be used yet is told in the words of Kubernetes', async () => {
    const lists = 'Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: '
    bound('pending', { local: { path: disk } }, { phase: 'Pending' })
    user('pending', claim('pending'), ':')
    await failed('pending', `${lists}error processing PVC default/pending: PVC is not bound`)
    bound('stolen', { local: { path: disk } }, { spec: { claimRef: { namespace: 'default', name: 'stolen', uid: 'other' } } })
    user('stolen', claim('stolen'), ':')
    await failed(
      'stolen',
      `${lists}error processing PVC default/stolen: found PV object pv-stolen but its pv.Spec.ClaimRef.UID other does not point to claim.UID claim-stolen`,
    )
    const nodeAffinity = { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['b'] }] }] } }
    bound('far', { local: { path: disk } }, { spec: { nodeAffinity } })
    user('far', claim('far'), ':')
    await failed('far', 'MountVolume.NodeAffinity check failed for volume "pv-far" : no matching NodeSelectorTerms')
    bound('gone', { local: { path: join(disk, 'nowhere') } })
    user('gone', claim('gone'), ':')
    await failed(
      'gone',
      `MountVolume.NewMounter initialization failed for volume "pv-gone" : path "${join(disk, 'nowhere')}" does not exist`,
    )
    bound('block', { local: { path: disk } }, { spec: { volumeMode: 'Block' } })
    user('block', claim('block'), ':')
    await failed('block', `${lists}error processing PVC default/block: volume data has volumeMode Block, but is specified in volumeMounts`)
    user('unknown', { iscsi: { targetPortal: 'x', iqn: 'y', lun: 0 } }, ':')
    await failed('unknown', `${lists}failed to get Plugin from volumeSpec for volume "data" err=no volume plugin matched: iscsi`)
  })
})

describe('paths of the node', () => {
  test('have the type that they must have', async () => {
    const at = (name: string) => join(disk, name)
    await mkdir(at('dir'))
    await writeFile(at('file'), '')
    await symlink('file', at('link'))
    const server = createServer().listen(at('socket'))
    const what = {
      Directory: 'a directory',
      File: 'a file',
      Socket: 'a socket file',
      CharDevice: 'a character device',
      BlockDevice: 'a block device',
    }
    const right: Record<string, string> = { Directory: at('dir'), File: at('link'), Socket: at('socket'), CharDevice: '/dev/null' }
    let n = 0
    for (const [type, text] of Object.entries(what)) {
      const wrong = type === 'Directory' ? at('file') : at('dir')
      const name = `wrong${n++}`
      user(name, { hostPath: { path: wrong, type } }, ':')
      await failed(name, `MountVolume.SetUp failed for volume "data" : hostPath type check failed: ${wrong} is not ${text}`)
    }
    for (const [type, path] of Object.entries(right)) user(`right-${type.toLowerCase()}`, { hostPath: { path, type } }, ':')
    for (const type of Object.keys(right)) await h.until(`right-${type.toLowerCase()}`, isReady)
    for (const type of Object.keys(right)) h.delete(`right-${type.toLowerCase()}`, 0)
    server.close()
    user('orphan', { hostPath: { path: at('no/file'), type: 'FileOrCreate' } }, ':')
    await failed('orphan', `MountVolume.SetUp failed for volume "data" : open ${at('no/file')}: no such file or directory`)
  })
  test.runIf(isolated)('are read-only all the way down, where that is asked for', async () => {
    const below = join(disk, 'top/below')
    await mkdir(below, { recursive: true })
    await mount('tmpfs', 'tmpfs', below)
    try {
      const volume = { hostPath: { path: join(disk, 'top') } }
      user('shallow', volume, 'touch data/below/x', { mount: { readOnly: true } })
      user('deep', volume, '! touch data/below/y', { mount: { readOnly: true, recursiveReadOnly: 'IfPossible' } })
      const status = async (name: string) => (await h.until(name, isReady)).status?.containerStatuses?.[0]?.volumeMounts?.[0]
      expect(await status('shallow')).toMatchObject({ readOnly: true, recursiveReadOnly: 'Disabled' })
      expect(await status('deep')).toMatchObject({ readOnly: true, recursiveReadOnly: 'Enabled' })
      expect([existsSync(join(below, 'x')), existsSync(join(below, 'y'))]).toEqual([true, false])
      for (const name of ['shallow', 'deep']) h.delete(name, 1)
      await h.api.until(() => !h.get('shallow') && !h.get('deep'))
    } finally {
      await unmount([below])
    }
  })
})

test.runIf(isolated)('a volume in memory holds as much as its pod may use', async () => {
  const limits = { resources: { limits: { memory: '32Mi' } } }
  const script = 'df -m data | grep -q " 32 "'
  h.pod('memory', {
    volumes: [{ name: 'data', emptyDir: { medium: 'Memory' } }],
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', `${script} && touch done; exec sleep 1000`],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
        readinessProbe: { exec: { command: ['test', '-e', 'done'] } },
        ...limits,
      },
    ],
  } as never)
  await h.until('memory', isReady)
  h.delete('memory', 0)
})

test('a volume of huge pages is of the pages that are asked for', async () => {
  user('pages', { emptyDir: { medium: 'HugePages' } }, ':')
  await failed(
    'pages',
    'MountVolume.SetUp failed for volume "data" : hugePages storage requested, but there is no resource request for huge pages',
  )
  if (!isolated) return
  const pod = user('huge', { emptyDir: { medium: 'HugePages-2Mi' } }, 'grep -q "/data hugetlbfs .*pagesize=2M" proc/mounts', {})
  pod.spec.containers[0]!.resources = { limits: { 'hugepages-2Mi': '0', memory: '32Mi' } }
  h.api.put(pods, pod as never)
  await h.until('huge', isReady)
  h.delete('huge', 0)
})
