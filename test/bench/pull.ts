/**
 * An image of 100 MB of the machine's own files, in one layer, from a registry on loopback: got and unpacked by image-puller, which is
 * started for it, into an empty store; beside curl and tar.
 */
import { execFileSync, fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Answer } from '#node-agent/registry/puller.ts'
import { pushImage, startRegistry } from '../fixtures/registry.ts'
import type { LocalMeasurement } from './measurement.ts'
import { median } from './statistics.ts'

const [megabytes, repeat] = [100, 5]
const puller = path.resolve(import.meta.dirname, '../../dist/image-puller.js')

/** Files below /usr/lib, as many as make up the size. */
function archive(file: string): Buffer {
  const listed = execFileSync('find', ['/usr/lib', '-xdev', '-type', 'f', '-size', '-4096k', '-printf', '%s %P\\n'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  let left = megabytes * 1e6
  const names: string[] = []
  for (const line of listed.trim().split('\n').sort()) {
    const at = line.indexOf(' ')
    if ((left -= Number(line.slice(0, at))) < 0) break
    names.push(line.slice(at + 1))
  }
  execFileSync('tar', ['-C', '/usr/lib', '-cf', file, '--no-recursion', '-T', '-'], { input: names.join('\n') })
  return readFileSync(file)
}

const timed = async (work: () => unknown): Promise<number> => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

const pull = (store: string, image: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = fork(puller, ['--store', store])
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`image-puller ended with ${code}`)))
    child.once('message', (answer: Answer) => {
      if (answer.message === undefined) resolve()
      else reject(new Error(answer.message))
      child.disconnect()
    })
    child.send({ id: 1, image, credentials: [] })
  })

export const measurePull: LocalMeasurement = async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'bench-pull-'))
  const registry = await startRegistry()
  try {
    const { layers } = await pushImage(registry, 'large', '1', { layers: [archive(path.join(directory, 'layer.tar'))] })
    const ours: number[] = []
    const floor: number[] = []
    for (let n = 0; n < repeat; n++) {
      const [root, store] = ['root', 'store'].map(name => path.join(directory, `${name}-${n}`)) as [string, string]
      mkdirSync(root)
      floor.push(
        await timed(() => {
          execFileSync('curl', ['-sSf', '-o', path.join(root, '.blob'), `${registry.url}/v2/large/blobs/${layers[0]!.digest}`])
          execFileSync('tar', ['-C', root, '-xzf', path.join(root, '.blob')])
        }),
      )
      ours.push(await timed(() => pull(store, `${registry.host}/large:1`)))
      for (const each of [root, store]) rmSync(each, { recursive: true, force: true })
    }
    return [
      {
        name: `pull and unpack of ${megabytes} MB`,
        unit: 's',
        value: median(ours),
        floor: median(floor),
        floorName: 'curl and tar -xz',
        target: median(floor) * 1.5,
      },
    ]
  } finally {
    await registry.close()
    rmSync(directory, { recursive: true, force: true })
  }
}
