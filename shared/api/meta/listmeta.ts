/** metav1.ListMeta. */
import { int64, obj, opt, str, type Infer } from '../../machinery/schema.ts'

export const listMeta = obj('io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta', 'What every list carries.', () => ({
  selfLink: opt(1, str(), { doc: 'No longer set.' }),
  resourceVersion: opt(2, str(), { doc: 'The version of the registry that the list shows.' }),
  continue: opt(3, str(), { doc: 'Token for the rest of a limited list.' }),
  remainingItemCount: opt(4, int64(), { doc: 'How many items are left after this part of the list.' }),
}))
export type ListMeta = Infer<typeof listMeta>
