/** Selectors of devices: k8s.io/dynamic-resource-allocation/cel/compile.go, with the features that are on by default. */
import { forbidden, invalid, type FieldError, type Path } from '#shared/machinery/field.ts'
import { compile, newEnvironment, type Environment } from '../cel.ts'
import type { SizeEstimator } from '../estimate.ts'
import { quantityType } from '../library/quantity.ts'
import * as types from '../types.ts'

/** Of resource.k8s.io/v1. */
const maxCost = 1_000_000
const maxValueLength = 64
const maxDomainLength = 63
const maxIdLength = 32
const maxDriverLength = 63
const maxPerDevice = 32

const domains = (value: types.Type): types.Type => types.map(types.string, types.map(types.string, value))
const fields: ReadonlyMap<string, types.Type> = new Map([
  ['driver', types.string],
  ['attributes', domains(types.dyn)],
  ['capacity', domains(quantityType)],
])

const sizeOf: SizeEstimator = ([, field, inDomain, inValue]) => {
  const of = (max: number): { min: number; max: number } => ({ min: 0, max })
  if (field === undefined) return of(0)
  if (field === 'driver') return inDomain === undefined ? of(maxDriverLength) : undefined
  if (!fields.has(field)) return undefined
  if (inDomain === undefined) return of(maxPerDevice)
  if (inDomain === '@keys') return inValue === undefined ? of(maxDomainLength) : undefined
  if (inDomain !== '@values') return undefined
  if (inValue === undefined) return of(maxPerDevice)
  if (inValue === '@keys') return of(maxIdLength)
  if (field === 'attributes') return of(maxValueLength)
  return inValue === '@values' ? of(0) : undefined
}

let environment: Environment | undefined
/** Where they are compiled. */
export const selectorEnvironment = (): Environment =>
  (environment ??= newEnvironment({
    variables: { device: types.struct('kubernetes.DRADevice', name => fields.get(name)) },
    sizes: sizeOf,
    bindings: true,
  }))

/** What is wrong with an expression that is to say whether a device is meant. */
export function checkSelector(expression: string, at: Path): FieldError[] {
  const { program, error } = compile(expression, selectorEnvironment())
  if (!program) return [invalid(at, expression, error)]
  const { type } = program
  if (!types.isDyn(type) && !types.same(type, types.bool))
    return [invalid(at, expression, `must evaluate to bool or the unknown type, not ${types.format(type)}`)]
  return program.estimate().max > maxCost ? [forbidden(at, 'too complex, exceeds cost limit')] : []
}
