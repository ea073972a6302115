/** Kinds that select devices with the rules that their expressions must follow. What was there before is not looked at again. */
import { deviceClasses, resourceClaims, resourceClaimTemplates } from '#shared/api/kinds.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { DeviceClass } from '#shared/api/resource/deviceclass.ts'
import type { DeviceSelector, ResourceClaimSpec } from '#shared/api/resource/devicerequest.ts'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { ResourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { Kind, Resource } from '#shared/api/resource.ts'
import type { FieldError, Path } from '#shared/machinery/field.ts'
import { cel } from '../load.ts'

type Check<T> = (object: T, at: Path) => FieldError[]

/** That they are there and not too long was looked at before. */
const selectorErrors = (selectors: readonly DeviceSelector[] | undefined, at: Path): FieldError[] =>
  (selectors ?? []).flatMap((selector, i) => {
    const expression = selector.cel?.expression
    return expression ? cel().checkSelector(expression, at.index(i).child('cel', 'expression')) : []
  })

const claimErrors = ({ devices }: ResourceClaimSpec, at: Path): FieldError[] =>
  (devices?.requests ?? []).flatMap(({ exactly, firstAvailable = [] }, i) => {
    const here = at.child('devices', 'requests').index(i)
    return [
      ...selectorErrors(exactly?.selectors, here.child('exactly', 'selectors')),
      ...firstAvailable.flatMap((sub, k) => selectorErrors(sub.selectors, here.child('firstAvailable').index(k).child('selectors'))),
    ]
  })

const ofClaim: Check<ResourceClaim> = ({ spec }, at) => claimErrors(spec, at.child('spec'))
const ofTemplate: Check<ResourceClaimTemplate> = ({ spec }, at) => claimErrors(spec.spec ?? {}, at.child('spec', 'spec'))
const ofClass: Check<DeviceClass> = ({ spec }, at) => selectorErrors(spec.selectors, at.child('spec', 'selectors'))

/** The rules for a kind, if it selects devices. */
export function withSelectors(resource: Resource): Resource {
  const isOf = ({ group, plural }: Kind): boolean => group === resource.group && plural === resource.plural
  // Specs of claims and of their templates never change.
  if (isOf(resourceClaims)) return onCreate(resource, ofClaim as Check<never>)
  if (isOf(resourceClaimTemplates)) return onCreate(resource, ofTemplate as Check<never>)
  if (!isOf(deviceClasses)) return resource
  return {
    ...onCreate(resource, ofClass as Check<never>),
    validateUpdate: (object, old, at, writer) => {
      const errors = resource.validateUpdate?.(object, old, at, writer) ?? []
      const { spec } = object as DeviceClass
      if (errors.length > 0 || semanticEqual(spec.selectors, (old as DeviceClass).spec.selectors)) return errors
      return ofClass(object as DeviceClass, at)
    },
  }
}

const onCreate = (resource: Resource, check: Check<never>): Resource => ({
  ...resource,
  validateCreate: (object, at) => [...(resource.validateCreate?.(object, at) ?? []), ...check(object as never, at)],
})
