/**
 * The rule of the folders: control-plane and node-agent never import each other, shared imports neither. And zod is imported so that a
 * bundle takes only what is used; and Node, whose parser is neither TypeScript's nor the bundler's, can run each file as it is.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
const forbidden: Record<string, string[]> = {
  'control-plane': ['node-agent', 'drivers'],
  'node-agent': ['control-plane', 'drivers'],
  drivers: ['control-plane', 'node-agent'],
  shared: ['control-plane', 'node-agent', 'drivers'],
}
let broken = 0
for (const [folder, others] of Object.entries(forbidden)) {
  for (const file of readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).filter(f => f.endsWith('.ts'))) {
    const text = readFileSync(path.join(root, folder, file), 'utf8')
    try {
      stripTypeScriptTypes(text)
    } catch (e) {
      process.stderr.write(`${folder}/${file}: ${(e as Error).message}\n`)
      broken++
    }
    if (/import \{.*\} from 'zod'/.test(text)) {
      process.stderr.write(
        `${folder}/${file}: write import * as z from 'zod'; the object z brings every language and 1.5 MB into each process\n`,
      )
      broken++
    }
    for (const [, target = ''] of text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
      const to = target.startsWith('.')
        ? path.relative(root, path.resolve(root, folder, path.dirname(file), target))
        : target.replace(/^#/, '')
      const top = to.split('/')[0] ?? ''
      if (others.includes(top) || (target.startsWith('.') && top !== folder)) {
        process.stderr.write(`${folder}/${file} imports ${target}\n`)
        broken++
      }
    }
  }
}
process.exit(broken === 0 ? 0 : 1)
