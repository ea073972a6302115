/** Columns of `kubectl get` that the kinds of rbac.authorization.k8s.io share. */
import { ageColumn, nameColumn } from '../columns.ts'
import type { ObjectMeta } from '../meta/objectmeta.ts'
import type { Column } from '../resource.ts'
import type { RoleRef, Subject } from './subject.ts'

export const createdAtColumn: Column<{ metadata: ObjectMeta }> = {
  name: 'Created At',
  type: 'date',
  doc: 'When it was made.',
  cell: o => o.metadata.creationTimestamp ?? '<unknown>',
}

interface Binding {
  metadata: ObjectMeta
  subjects?: Subject[] | undefined
  roleRef: RoleRef
}
const names = (binding: Binding, kind: string): string =>
  (binding.subjects ?? [])
    .filter(s => s.kind === kind)
    .map(s => (kind === 'ServiceAccount' ? `${s.namespace ?? ''}/${s.name}` : s.name))
    .join(', ')
const subjectsColumn = (kind: string): Column<Binding> => ({
  name: `${kind}s`,
  type: 'string',
  wide: true,
  doc: `The subjects of kind ${kind}.`,
  cell: b => names(b, kind),
})

export const bindingColumns: readonly Column<Binding>[] = [
  nameColumn,
  { name: 'Role', type: 'string', doc: 'The role that it gives.', cell: b => `${b.roleRef.kind}/${b.roleRef.name}` },
  ageColumn,
  ...['User', 'Group', 'ServiceAccount'].map(subjectsColumn),
]
