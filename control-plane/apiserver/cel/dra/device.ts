/** Devices as selectors see them: k8s.io/dynamic-resource-allocation/cel/compile.go. */
import type { Device, DeviceAttribute } from '#shared/api/resource/resourceslice.ts'
import { compile, perCallLimit, type Compiled } from '../cel.ts'
import { quantityValue } from '../library/quantity.ts'
import { semverValue } from '../library/semver.ts'
import { MapValue, type Value } from '../values.ts'
import { selectorEnvironment } from './selector.ts'

/** Values by text; what is not there is `otherwise` where that is given, and not `in` it nevertheless. */
class Named extends MapValue {
  readonly #values: ReadonlyMap<string, Value>
  readonly #otherwise: Value | undefined
  constructor(values: ReadonlyMap<string, Value>, otherwise?: Value) {
    super()
    this.#values = values
    this.#otherwise = otherwise
  }
  get size(): number {
    return this.#values.size
  }
  get(key: Value): Value | undefined {
    return this.#values.get(key as string) ?? this.#otherwise
  }
  override has(key: Value): boolean {
    return this.#values.has(key as string)
  }
  keys(): Iterable<Value> {
    return this.#values.keys()
  }
}
const nothing = new Named(new Map())

/** `domain/id`; the driver's own names have no domain. */
function byDomain<T>(values: Readonly<Record<string, T>> | undefined, driver: string, valueOf: (value: T) => Value): Named {
  const domains = new Map<string, Map<string, Value>>()
  for (const [name, value] of Object.entries(values ?? {})) {
    const slash = name.indexOf('/')
    const domain = slash < 0 ? driver : name.slice(0, slash)
    let of = domains.get(domain)
    if (!of) domains.set(domain, (of = new Map()))
    of.set(name.slice(slash + 1), valueOf(value))
  }
  return new Named(new Map([...domains].map(([domain, of]) => [domain, new Named(of)])), nothing)
}

function attributeValue({ int, bool, string, version }: DeviceAttribute): Value {
  if (int !== undefined) return BigInt(int)
  if (bool !== undefined) return bool
  return string ?? semverValue(version ?? '')
}

const values = new WeakMap<Device, Value>()
function deviceValue(driver: string, device: Device): Value {
  let made = values.get(device)
  if (!made) {
    const attributes = byDomain(device.attributes, driver, attributeValue)
    const capacity = byDomain(device.capacity, driver, c => quantityValue(c.value))
    made = new Named(
      new Map<string, Value>([
        ['driver', driver],
        ['attributes', attributes],
        ['capacity', capacity],
      ]),
    )
    values.set(device, made)
  }
  return made
}

/** Whether a device of a driver is meant. Throws an Error for an expression that says nothing of it, in upstream's words. */
export function selects(expression: string, driver: string, device: Device): boolean {
  const { program, error }: Compiled = compile(expression, selectorEnvironment())
  if (!program) throw new Error(error)
  const outcome = program.evaluate({ device: deviceValue(driver, device) }, perCallLimit)
  if (outcome.error !== undefined) throw new Error(outcome.error)
  if (typeof outcome.value !== 'boolean') throw new Error(`CEL expression did not evaluate to bool: ${expression}`)
  return outcome.value
}
