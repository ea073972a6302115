/** Columns and cells of `kubectl get` that several kinds share. */
import { age } from '../machinery/time.ts'
import type { ObjectMeta } from './meta/objectmeta.ts'
import type { Column } from './resource.ts'

interface Named {
  metadata: ObjectMeta
}

export const nameColumn: Column<Named> = {
  name: 'Name',
  type: 'string',
  format: 'name',
  doc: 'Unique name within the namespace and kind.',
  cell: o => o.metadata.name ?? '',
}
export const ageColumn: Column<Named> = {
  name: 'Age',
  type: 'string',
  doc: 'How long ago the object was created.',
  cell: o => age(o.metadata.creationTimestamp),
}

interface Templated {
  spec: {
    template?: { spec?: { containers?: readonly { name: string; image?: string | undefined }[] | undefined } | undefined } | undefined
  }
}
const join = (o: Templated, pick: (c: { name: string; image?: string | undefined }) => string): string =>
  (o.spec.template?.spec?.containers ?? []).map(pick).join(',')
/** The wide columns of what makes pods from a template. */
export const containersColumn: Column<Templated> = {
  name: 'Containers',
  type: 'string',
  wide: true,
  doc: 'Names of each container in the template.',
  cell: o => join(o, c => c.name),
}
export const imagesColumn: Column<Templated> = {
  name: 'Images',
  type: 'string',
  wide: true,
  doc: 'Images referenced by each container in the template.',
  cell: o => join(o, c => c.image ?? ''),
}

/** The first three of a list, and how many more there are, as the tables of endpoints show it. */
export function firstThree(values: readonly string[], none: string): string {
  const shown = values.slice(0, 3).join(',')
  return values.length > 3 ? `${shown} + ${values.length - 3} more...` : shown || none
}
