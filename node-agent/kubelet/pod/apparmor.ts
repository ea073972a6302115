/**
 * AppArmor: a pod that asks for a profile runs only where the kernel enforces it. https://kubernetes.io/docs/tutorials/security/apparmor/
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Pod } from '#shared/api/core/pod.ts'
import type { AppArmorProfile } from '#shared/api/core/podspec/securitycontext.ts'
import { allContainers } from './containers.ts'

/** Whether the kernel of this machine enforces profiles. */
export function appArmorEnabled(): boolean {
  const enabled = '/sys/module/apparmor/parameters/enabled'
  return existsSync('/sys/kernel/security/apparmor') && existsSync(enabled) && readFileSync(enabled, 'utf8').startsWith('Y')
}

/** The profile of a container, its own or the pod's; undefined: none is asked for, or Unconfined. */
export function appArmorProfile(
  { spec }: Pod,
  container: { securityContext?: { appArmorProfile?: AppArmorProfile } },
): AppArmorProfile | undefined {
  const profile = container.securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile
  return profile === undefined || profile.type === 'Unconfined' ? undefined : profile
}

/** Why a pod cannot run here with its profiles, in upstream's words. */
export function appArmorRefusal(pod: Pod, enabled: boolean): string | undefined {
  if (enabled || !allContainers(pod).some(({ container }) => appArmorProfile(pod, container))) return undefined
  return 'Cannot enforce AppArmor: AppArmor is not enabled on the host'
}
