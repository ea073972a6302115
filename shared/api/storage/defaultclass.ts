/** The mark of the class that claims get which name none. */
import type { ObjectMeta } from '../meta/objectmeta.ts'

const annotation = 'storageclass.kubernetes.io/is-default-class'
const former = 'storageclass.beta.kubernetes.io/is-default-class'

export const isDefaultClass = ({ annotations }: ObjectMeta): boolean =>
  annotations?.[annotation] === 'true' || annotations?.[former] === 'true'

/** The name of the class that claims get which name none: of several default ones the newest, then the first by name. */
export function defaultClassOf(classes: readonly { readonly metadata: ObjectMeta }[]): string | undefined {
  const created = ({ metadata }: { metadata: ObjectMeta }): string => metadata.creationTimestamp ?? ''
  const name = ({ metadata }: { metadata: ObjectMeta }): string => metadata.name ?? ''
  const isBefore = (a: { metadata: ObjectMeta }, b: { metadata: ObjectMeta }): boolean =>
    created(a) === created(b) ? name(a) < name(b) : created(a) > created(b)
  const [first] = classes.filter(c => isDefaultClass(c.metadata)).sort((a, b) => (isBefore(a, b) ? -1 : 1))
  return first && name(first)
}
