/** The version of Kubernetes that all components say they are of. */
export const kubernetesVersion = 'v1.35.0'
