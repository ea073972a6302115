/** DefaultIngressClass: an ingress that names no class gets the one that is marked as the default; of several the newest. */
import type { ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import type { Ingress } from '#shared/api/networking/ingress.ts'
import { ingressClassAnnotation } from '#shared/api/networking/ingressvalidation.ts'
import type { Registry } from '../registry/registry.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'
import { newestOf } from './newestclass.ts'

const isDefault = ({ annotations }: ObjectMeta): boolean => annotations?.['ingressclass.kubernetes.io/is-default-class'] === 'true'

export const defaultIngressClass = (registry: Registry): AdmissionPlugin => ({
  name: 'DefaultIngressClass',
  mutate(a) {
    if (a.operation !== 'CREATE' || !isAbout(a, 'networking.k8s.io', 'ingresses')) return
    const { metadata, spec } = a.object as Ingress
    if (spec.ingressClassName !== undefined || metadata.annotations?.[ingressClassAnnotation] !== undefined) return
    const name = newestOf(registry, { group: 'networking.k8s.io', plural: 'ingressclasses' }, isDefault)
    if (name !== undefined) spec.ingressClassName = name
  },
})
