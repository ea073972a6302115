/** What happens around writes of CertificateSigningRequests: that a request can be read and is signed by its own key is checked here. */
import { certificateSigningRequest, type CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificates } from '#shared/certificates/certificates.ts'
import { findErrors, invalid, Path } from '#shared/machinery/field.ts'
import { invalidObject } from '#shared/machinery/status.ts'
import type { Hooks } from './objects/hooks.ts'

const claim = { keep: () => Promise.resolve(), release: () => Promise.resolve() }

/** Requests never change: only new ones are looked at. The library that reads them comes with the first. */
export const certificateHooks: Hooks = {
  async begin(object, old) {
    if (old) return claim
    const csr = object as CertificateSigningRequest
    const { parseRequest } = await certificates()
    const why = await parseRequest(csr.spec.request ?? '').then(
      () => undefined,
      (e: Error) => e.message,
    )
    if (why === undefined) return claim
    const root = new Path('')
    const { group, kind, validate } = certificateSigningRequest
    const errors = findErrors(() => [invalid(root.child('spec', 'request'), csr.spec.request, why), ...validate!(csr, root)])
    throw invalidObject(group, kind, csr.metadata.name ?? '', errors)
  },
  afterDelete: () => {},
}
