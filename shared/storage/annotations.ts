/** Annotations by which the binder, the scheduler and provisioners tell each other how far a claim or a volume is. */

/** On a claim: it has once been bound, so that a volume that is missing is lost. */
export const bindCompleted = 'pv.kubernetes.io/bind-completed'
/** On a claim or volume: the binder, not a user, chose its other half, and may take that back. */
export const boundByController = 'pv.kubernetes.io/bound-by-controller'
/** On a volume: the name of the provisioner that made it, and will delete it. */
export const provisionedBy = 'pv.kubernetes.io/provisioned-by'
/** On a claim: the provisioner that is to make a volume for it. The second is its former name; both are written. */
export const storageProvisioner = 'volume.kubernetes.io/storage-provisioner'
export const betaStorageProvisioner = 'volume.beta.kubernetes.io/storage-provisioner'
/** On a claim: the node of the pod for which its volume is made. A provisioner that cannot make it there takes it off. */
export const selectedNode = 'volume.kubernetes.io/selected-node'
/** The provisioner of classes whose volumes are made by hand. */
export const noProvisioner = 'kubernetes.io/no-provisioner'

type Annotated = { readonly metadata: { readonly annotations?: { readonly [key: string]: string } | undefined } }
export const hasAnnotation = ({ metadata }: Annotated, name: string): boolean => Object.hasOwn(metadata.annotations ?? {}, name)
