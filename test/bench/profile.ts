/**
 * Prints where CPU profiles say that the time went: `node test/bench/profile.ts FILE...`; functions by the time in themselves, and with
 * what they call.
 */
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { table } from '#control-plane/cli/print.ts'

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number; columnNumber: number }
  children?: number[]
}
interface Profile {
  nodes: ProfileNode[]
  samples: number[]
  timeDeltas: number[]
}

const project = path.resolve(import.meta.dirname, '../..')
const maps = new Map<string, SourceMap | undefined>()

function mapOf(file: string): SourceMap | undefined {
  if (!maps.has(file))
    maps.set(
      file,
      existsSync(`${file}.map`) ? new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMapPayload) : undefined,
    )
  return maps.get(file)
}

/** Where a function was written: bundles are mapped to their sources. */
function place({ callFrame: { functionName, url, lineNumber, columnNumber } }: ProfileNode): string {
  const name = functionName || '(anonymous)'
  if (!url.startsWith('file:')) return url === '' ? name : `${name} ${url}`
  const file = fileURLToPath(url)
  const entry = mapOf(file)?.findEntry(lineNumber, columnNumber)
  if (!entry || !('originalSource' in entry)) return `${name} ${path.relative(project, file)}:${lineNumber + 1}`
  return `${name} ${path.relative(project, path.resolve(path.dirname(file), entry.originalSource))}:${entry.originalLine + 1}`
}

/** Milliseconds by place, in itself and in total; a function that calls itself counts once. */
function summary(profile: Profile): { self: Map<string, number>; total: Map<string, number>; busy: number } {
  const own = new Map<number, number>()
  profile.samples.forEach((id, i) => own.set(id, (own.get(id) ?? 0) + (profile.timeDeltas[i] ?? 0) / 1000))
  const nodes = new Map(profile.nodes.map(n => [n.id, n]))
  const self = new Map<string, number>()
  const total = new Map<string, number>()
  let busy = 0
  const visit = (node: ProfileNode, above: ReadonlySet<string>): number => {
    const at = place(node)
    const inside = new Set([...above, at])
    const mine = own.get(node.id) ?? 0
    if (at !== '(idle)' && at !== '(root)') busy += mine
    self.set(at, (self.get(at) ?? 0) + mine)
    const sum = (node.children ?? []).reduce((s, id) => s + visit(nodes.get(id)!, inside), mine)
    if (!above.has(at)) total.set(at, (total.get(at) ?? 0) + sum)
    return sum
  }
  const root = profile.nodes[0]
  if (root) visit(root, new Set())
  return { self, total, busy }
}

for (const file of process.argv.slice(2)) {
  const { self, total, busy } = summary(JSON.parse(readFileSync(file, 'utf8')) as Profile)
  const top = (times: Map<string, number>, count: number) =>
    [...times]
      .filter(([at]) => at !== '(idle)' && at !== '(root)')
      .sort((a, b) => b[1] - a[1])
      .slice(0, count)
      .map(([at, ms]) => [`${ms.toFixed(0)} ms`, `${((100 * ms) / busy).toFixed(1)}%`, at])
  process.stdout.write(
    `${file}: ${busy.toFixed(0)} ms busy\n\n${table(['SELF', '', 'FUNCTION'], top(self, 40))}\n\n${table(['TOTAL', '', 'FUNCTION'], top(total, 60))}\n\n`,
  )
}
