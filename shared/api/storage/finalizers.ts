/** Finalizers of what is in use. */
export const pvcProtection = 'kubernetes.io/pvc-protection'
export const pvProtection = 'kubernetes.io/pv-protection'
export const vacProtection = 'kubernetes.io/vac-protection'
