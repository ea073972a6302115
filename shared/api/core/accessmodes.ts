/** What volumes and claims share: access modes as tables print them, and annotations that were fields once. */
import type { ObjectMeta } from '../meta/objectmeta.ts'

const short: readonly [mode: string, text: string][] = [
  ['ReadWriteOnce', 'RWO'],
  ['ReadOnlyMany', 'ROX'],
  ['ReadWriteMany', 'RWX'],
  ['ReadWriteOncePod', 'RWOP'],
]
/** `RWO,ROX`, each once. */
export const accessModesText = (modes: readonly string[] | undefined): string =>
  short
    .filter(([mode]) => modes?.includes(mode))
    .map(([, text]) => text)
    .join(',')

/** Before it was a field, the storage class of a volume or claim. */
export const storageClassAnnotation = 'volume.beta.kubernetes.io/storage-class'
export const mountOptionsAnnotation = 'volume.beta.kubernetes.io/mount-options'

export const warningsForStorageClassAnnotation = ({ annotations }: ObjectMeta): string[] =>
  annotations?.[storageClassAnnotation] === undefined
    ? []
    : [`metadata.annotations[${storageClassAnnotation}]: deprecated since v1.8; use "storageClassName" attribute instead`]
