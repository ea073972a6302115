/**
 * /logs/: the node's /var/log as files and lists of them, as Go's file server shows them. Below `pods/` the logs of the pods, by
 * the names that they have in /var/log/pods on other nodes: NAMESPACE_NAME_UID/CONTAINER/0.log.
 */
import { createReadStream } from 'node:fs'
import { open, readdir, realpath } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Kubelet } from '../kubelet.ts'
import type { PodWorker } from '../pod/worker.ts'
import { text } from './requests.ts'

const root = '/var/log'

export async function nodeLogs(
  kubelet: Kubelet,
  path: readonly string[],
  url: URL,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  if (path.some(part => part === '..' || part.includes('/') || part.includes('\0'))) return text(res, 400, 'invalid URL path\n')
  const pods = new Map(kubelet.workers().map(worker => [podName(worker), worker]))
  if (path[0] === 'pods' && path.length === 1)
    return list(
      res,
      [...pods.keys()].sort().map(name => `${name}/`),
    )
  const worker = path[0] === 'pods' ? pods.get(path[1]!) : undefined
  if (path[0] === 'pods' && !worker) return text(res, 404, '404 page not found\n')
  const [base, rest] = worker ? [worker.directory.logs, path.slice(2)] : [root, path]
  const found = await within(base, rest)
  if (found === undefined) return text(res, 404, '404 page not found\n')
  const file = await open(found, 'r').catch(() => undefined)
  if (!file) return text(res, 403, '403 Forbidden\n')
  try {
    const info = await file.stat()
    if (info.isDirectory()) {
      if (!url.pathname.endsWith('/')) {
        res.writeHead(301, { location: `${url.pathname.split('/').at(-1)}/` })
        return void res.end()
      }
      const entries = await readdir(found, { withFileTypes: true })
      const names = entries.map(e => (e.isDirectory() ? `${e.name}/` : e.name))
      return list(res, [...names, ...(rest.length === 0 && !worker ? ['pods/'] : [])].sort())
    }
    if (!info.isFile()) return text(res, 404, '404 page not found\n')
    res.writeHead(200, {
      'content-type': 'text/plain; charset=utf-8',
      'content-length': info.size,
      'last-modified': info.mtime.toUTCString(),
      'x-content-type-options': 'nosniff',
    })
    if (req.method === 'HEAD' || info.size === 0) return void res.end()
    // It may grow meanwhile: what was said is sent.
    await pipeline(createReadStream('', { fd: file, start: 0, end: info.size - 1, autoClose: false }), res)
  } finally {
    await file.close().catch(() => {})
  }
}

const podName = ({ pod: { metadata } }: PodWorker): string => `${metadata.namespace}_${metadata.name}_${metadata.uid}`

/** The real path, which links do not lead out of `base`; undefined when there is none. */
async function within(base: string, path: readonly string[]): Promise<string | undefined> {
  try {
    const [top, found] = await Promise.all([realpath(base), realpath(join(base, ...path))])
    return found === top || found.startsWith(`${top}/`) ? found : undefined
  } catch {
    return undefined
  }
}

const html: { [c: string]: string } = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' }
function list(res: ServerResponse, names: readonly string[]): void {
  const link = (name: string): string =>
    `<a href="${name.split('/').map(encodeURIComponent).join('/')}">${name.replace(/[&<>"']/g, c => html[c]!)}</a>\n`
  text(res, 200, `<pre>\n${names.map(link).join('')}</pre>\n`, 'text/html; charset=utf-8')
}
