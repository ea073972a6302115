/** AlwaysPullImages: every image is pulled before it is used, so that only who may pull an image may use it. */
import type { Pod } from '#shared/api/core/pod.ts'
import { Path, notSupported } from '#shared/machinery/field.ts'
import { aggregate, isAbout, refused, type AdmissionPlugin, type Attributes } from './admission.ts'

const lists = ['containers', 'initContainers', 'ephemeralContainers'] as const

/** An update that brings no image that the pod did not have is left alone: policies cannot change. */
function concerns(a: Attributes): boolean {
  if (!isAbout(a, '', 'pods')) return false
  if (a.operation === 'CREATE') return true
  if (a.operation !== 'UPDATE') return false
  const images = ({ spec }: Pod): string[] => lists.flatMap(list => (spec[list] ?? []).map(c => c.image ?? ''))
  const old = new Set(images(a.old as Pod))
  return images(a.object as Pod).some(image => !old.has(image))
}

export const alwaysPullImages = (): AdmissionPlugin => ({
  name: 'AlwaysPullImages',
  mutate(a) {
    if (!concerns(a)) return
    const { spec } = a.object as Pod
    for (const list of lists) for (const container of spec[list] ?? []) container.imagePullPolicy = 'Always'
    for (const { image } of spec.volumes ?? []) if (image) image.pullPolicy = 'Always'
  },
  // Another plugin may have changed it since.
  validate(a) {
    if (!concerns(a)) return
    const { spec } = a.object as Pod
    const wrong = lists.flatMap(list =>
      (spec[list] ?? []).flatMap(({ imagePullPolicy: policy }, i) => {
        const at = new Path('spec').child(list).index(i).child('imagePullPolicy')
        return policy === 'Always' ? [] : [notSupported(at, policy ?? '', ['Always'])]
      }),
    )
    if (wrong.length > 0) throw refused(a, aggregate(wrong.map(e => `${e.field}: ${e.message}`)))
  },
})
