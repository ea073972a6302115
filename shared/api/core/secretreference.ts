/** core/v1 SecretReference. */
import { obj, opt, str, type Infer } from '../../machinery/schema.ts'

export const secretReference = obj(
  'io.k8s.api.core.v1.SecretReference',
  'Names a Secret in any namespace.',
  () => ({
    name: opt(1, str(), { doc: 'Name of the Secret.' }),
    namespace: opt(2, str(), { doc: 'Namespace of the Secret.' }),
  }),
  { atomic: true },
)
export type SecretReference = Infer<typeof secretReference>
