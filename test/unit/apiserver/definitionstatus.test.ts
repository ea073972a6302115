import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CustomResourceDefinition, CustomResourceDefinitionNames } from '#shared/api/apiextensions/customresourcedefinition.ts'
import { hasCondition, nextStatus, type Rival } from '#control-plane/apiserver/crd/status.ts'

type Names = CustomResourceDefinitionNames
const definition = (names: Names, status?: CustomResourceDefinition['status'], group = 'example.com'): CustomResourceDefinition =>
  ({ metadata: { name: `${names.plural}.${group}` }, spec: { group, scope: 'Cluster', names, versions: [] }, ...(status ? { status } : {}) }) as never // prettier-ignore
const names = (plural: string, ...shortNames: string[]): Names => ({
  plural,
  singular: plural.slice(0, -1),
  kind: plural.toUpperCase(),
  listKind: `${plural.toUpperCase()}List`,
  ...(shortNames.length > 0 ? { shortNames } : {}),
})
const rival = (of: Names, version: number, established = false): Rival => ({ names: of, version, established })
const conditions = (status: CustomResourceDefinition['status']): string[] =>
  (status?.conditions ?? []).map(c => `${c.type}=${c.status} ${c.reason}`)

describe('the status of a definition', () => {
  it('accepts names, then is Established, then stays as it is', () => {
    const wanted = names('foos', 'f')
    const first = nextStatus(definition(wanted), 1, [])
    expect(first?.acceptedNames).toEqual(wanted)
    expect(conditions(first)).toEqual(['NamesAccepted=True NoConflicts', 'Established=False Installing'])
    const second = nextStatus(definition(wanted, first), 2, [])
    expect(conditions(second)).toEqual(['NamesAccepted=True NoConflicts', 'Established=True InitialNamesAccepted'])
    expect(nextStatus(definition(wanted, second), 3, [])).toBeUndefined()
  })

  it('keeps what it was given when it wants what another has, and stays Established', () => {
    const served = nextStatus(definition(names('foos'), nextStatus(definition(names('foos')), 1, [])), 2, [])
    const more = nextStatus(definition(names('foos', 'b'), served), 3, [rival(names('bars', 'b'), 1, true)])
    expect(more?.acceptedNames).toEqual(names('foos'))
    expect(conditions(more)).toEqual(['NamesAccepted=False ShortNamesConflict', 'Established=True InitialNamesAccepted'])
    expect(more?.conditions?.[0]?.message).toBe('"b" is already in use')
  })

  it('says whether a group of Kubernetes own is approved', () => {
    const d = definition(names('foos'), undefined, 'x.k8s.io')
    d.metadata.annotations = { 'api-approved.kubernetes.io': 'https://example.com/1' }
    expect(conditions(nextStatus(d, 1, []))[0]).toBe('KubernetesAPIApprovalPolicyConformant=True ApprovedAnnotation')
  })
})

/** Definitions in a store: one counter of versions, every server sees a prefix of what was written, and writes by compare-and-swap. */
describe('several servers that give names at once', () => {
  interface Row {
    object: CustomResourceDefinition
    version: number
  }
  const steps = fc.array(fc.record({ server: fc.nat(1), which: fc.nat(2), sync: fc.boolean() }), { minLength: 1, maxLength: 60 })
  it('never establish two definitions with one name', () => {
    fc.assert(
      fc.property(steps, taken => {
        let version = 3
        const log: { which: number; row: Row }[] = ['as', 'bs', 'cs'].map((plural, i) => ({
          which: i,
          row: { object: definition(names(plural, 'same')), version: i + 1 },
        }))
        const newest = (which: number, upTo = Infinity): Row => log.filter(e => e.which === which && e.row.version <= upTo).at(-1)!.row
        const seen = [3, 3]
        const act = (server: number, which: number): void => {
          const known = newest(which, seen[server])
          const rivals = [0, 1, 2]
            .filter(i => i !== which)
            .map(i => newest(i, seen[server]))
            .map(r => rival(r.object.status?.acceptedNames ?? { plural: '', kind: '' }, r.version, hasCondition(r.object, 'Established')))
          const status = nextStatus(known.object, known.version, rivals)
          if (!status || newest(which).version !== known.version) return
          log.push({ which, row: { object: { ...known.object, status }, version: ++version } })
          seen[server] = Math.max(seen[server]!, version)
        }
        for (const { server, which, sync } of taken) {
          if (sync) seen[server] = version
          act(server, which)
        }
        const holders = [0, 1, 2].map(i => newest(i)).filter(r => hasCondition(r.object, 'Established'))
        expect(holders.filter(r => r.object.status?.acceptedNames?.shortNames?.includes('same')).length).toBeLessThanOrEqual(1)
        // When everything is known one of them has it.
        for (let round = 0; round < 6; round++) for (const which of [0, 1, 2]) (seen[0] = version), act(0, which) // prettier-ignore
        expect([0, 1, 2].map(i => newest(i)).filter(r => hasCondition(r.object, 'Established'))).toHaveLength(1)
      }),
      { numRuns: 500 },
    )
  })
})
