/** What is particular about a kind is said in its definition: the code that serves all kinds knows none by name. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import * as kinds from '#shared/api/kinds.ts'
import { resources } from '#shared/api/resources.ts'

const apiserver = join(import.meta.dirname, '../../../control-plane/apiserver')

it.each(['objects', 'verbs'])('%s/ names no kind', folder => {
  const names = new Set(resources.flatMap(r => [r.kind, r.plural, `/${r.plural}`, `${r.group}/${r.plural}`]))
  const files = readdirSync(join(apiserver, folder))
  expect(files.length).toBeGreaterThan(5)
  const found = files.flatMap(file => {
    const text = readFileSync(join(apiserver, folder, file), 'utf8')
    return [...text.matchAll(/(['"`])([\w./-]+)\1/g)].flatMap(([, , word = '']) => (names.has(word) ? [`${file}: ${word}`] : []))
  })
  expect(found).toEqual([])
})

it('the list of names and the list of definitions are of the same kinds', () => {
  const named = (k: { group: string; version: string; kind: string; plural: string; namespaced: boolean }): string =>
    [k.group, k.version, k.kind, k.plural, k.namespaced].join()
  expect(resources.map(named).sort()).toEqual(Object.values(kinds).map(named).sort())
})
