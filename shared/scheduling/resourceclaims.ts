/** What scheduler and resource claim controller agree on about claims. */

/** Keeps a claim as long as it has devices: the finalizer of resource.k8s.io. */
export const deleteProtection = 'resource.kubernetes.io/delete-protection'
/** Of a claim that was made from a template: which of the pod's claims it is. */
export const podClaimName = 'resource.kubernetes.io/pod-claim-name'
