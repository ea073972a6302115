/** Checks of the users that containers run as. */
import { containersOf, named, setters, unlessUserNamespace, type Check, type CheckPod } from './check.ts'

const nonRoot: CheckPod = spec => {
  const reason = 'runAsNonRoot != true'
  const ofPod = spec.securityContext?.runAsNonRoot
  const containers = containersOf(spec)
  const who = setters(
    ofPod === false,
    containers.filter(c => c.securityContext?.runAsNonRoot === false),
  )
  if (who !== '') return { reason, detail: `${who} must not set securityContext.runAsNonRoot=false` }
  const silent = ofPod ? [] : containers.filter(c => c.securityContext?.runAsNonRoot === undefined)
  return silent.length > 0 ? { reason, detail: `pod or ${named(silent)} must set securityContext.runAsNonRoot=true` } : undefined
}
export const runAsNonRoot: Check = {
  id: 'runAsNonRoot',
  level: 'restricted',
  versions: [
    { from: 0, check: nonRoot },
    { from: 35, check: unlessUserNamespace(nonRoot) },
  ],
}

const notUserZero: CheckPod = spec => {
  const who = setters(
    spec.securityContext?.runAsUser === 0,
    containersOf(spec).filter(c => c.securityContext?.runAsUser === 0),
  )
  return who === '' ? undefined : { reason: 'runAsUser=0', detail: `${who} must not set runAsUser=0` }
}
export const runAsUser: Check = {
  id: 'runAsUser',
  level: 'restricted',
  versions: [
    { from: 23, check: notUserZero },
    { from: 35, check: unlessUserNamespace(notUserZero) },
  ],
}
