/** Defaults of what a claim asks for. */
import type { DeviceSubRequest, ResourceClaimSpec } from './devicerequest.ts'

export function defaultClaim({ devices }: ResourceClaimSpec): void {
  for (const { exactly, firstAvailable = [] } of devices?.requests ?? [])
    for (const request of [...(exactly ? [exactly] : []), ...firstAvailable]) defaultRequest(request)
}

function defaultRequest(request: Omit<DeviceSubRequest, 'name'>): void {
  request.allocationMode ||= 'ExactCount'
  if (request.allocationMode === 'ExactCount') request.count ||= 1
  for (const toleration of request.tolerations ?? []) toleration.operator ||= 'Equal'
}
