/** The mark of the class that claims get which name none. */
import type { ObjectMeta } from '../meta/objectmeta.ts'

const annotation = 'storageclass.kubernetes.io/is-default-class'
const former = 'storageclass.beta.kubernetes.io/is-default-class'

export const isDefaultClass = ({ annotations }: ObjectMeta): boolean =>
  annotations?.[annotation] === 'true' || annotations?.[former] === 'true'
