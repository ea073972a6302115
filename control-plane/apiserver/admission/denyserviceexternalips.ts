/** DenyServiceExternalIPs: services get no further addresses from outside; those that they have may stay. */
import type { Service } from '#shared/api/core/service.ts'
import { isAbout, refused, type AdmissionPlugin } from './admission.ts'

export const denyServiceExternalIPs = (): AdmissionPlugin => ({
  name: 'DenyServiceExternalIPs',
  validate(a) {
    if ((a.operation !== 'CREATE' && a.operation !== 'UPDATE') || !isAbout(a, '', 'services')) return
    const had = (a.old as Service | undefined)?.spec.externalIPs ?? []
    if ((a.object as Service).spec.externalIPs?.some(ip => !had.includes(ip)))
      throw refused(a, 'Use of external IPs is denied by admission control')
  },
})
