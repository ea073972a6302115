/** authentication.k8s.io/v1 SelfSubjectReview: who am I? (pkg/registry/authentication/selfsubjectreview) */
import { selfSubjectReview, type SelfSubjectReview } from '#shared/api/authentication/selfsubjectreview.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Admission } from '../admission/admission.ts'
import type { Served } from '../surface.ts'
import { reviewKind, serveReview } from './review.ts'

export const selfSubjectReviews = reviewKind('authentication.k8s.io', 'SelfSubjectReview', selfSubjectReview)

export const whoAmI = (admission: Admission): Served =>
  serveReview<SelfSubjectReview & KubeObject>(selfSubjectReviews, admission, {
    answer(review, { user: { name, uid, groups, extra } }) {
      review.metadata = { creationTimestamp: formatTime() }
      review.status = { userInfo: { username: name, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) } }
    },
  })
