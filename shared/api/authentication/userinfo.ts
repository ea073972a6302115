/** authentication.k8s.io/v1 UserInfo: who somebody is. */
import { list, map, obj, opt, str, type Infer } from '../../machinery/schema.ts'

export const userInfo = obj('io.k8s.api.authentication.v1.UserInfo', 'Who somebody is.', () => ({
  username: opt(1, str(), { doc: 'Unique name.' }),
  uid: opt(2, str(), { doc: 'Identifies the user over time, also when a name is used again.' }),
  groups: opt(3, list(str()), { doc: 'Groups the user is in.', listType: 'atomic' }),
  extra: opt(4, map(list(str())), { doc: 'What else the authenticator said.' }),
}))
export type UserInfoSchema = Infer<typeof userInfo>
