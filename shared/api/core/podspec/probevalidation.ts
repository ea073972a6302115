/** Rules of probes and lifecycle hooks. */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { httpHeaderName, nonNegative, portNumber, portNumberOrName } from './formats.ts'
import type { ExecAction, GRPCAction, HTTPGetAction, Lifecycle, Probe, SleepAction, TCPSocketAction } from './probe.ts'

interface Handler {
  exec?: ExecAction | undefined
  httpGet?: HTTPGetAction | undefined
  tcpSocket?: TCPSocketAction | undefined
  grpc?: GRPCAction | undefined
  sleep?: SleepAction | undefined
}

/** `graceSeconds` is the pod's terminationGracePeriodSeconds, which bounds a sleep. */
function validateHandler(h: Handler, graceSeconds: number | undefined, at: Path): FieldError[] {
  const errors: FieldError[] = []
  let seen = 0
  const one = (name: keyof Handler, check: () => FieldError[]) => {
    if (h[name] === undefined) return
    if (seen++ > 0) errors.push(forbidden(at.child(name), 'may not specify more than 1 handler type'))
    else errors.push(...check())
  }
  one('exec', () => (h.exec?.command?.length ? [] : [required(at.child('exec', 'command'))]))
  one('httpGet', () => validateHttpGet(h.httpGet as HTTPGetAction, at.child('httpGet')))
  one('tcpSocket', () => portNumberOrName(h.tcpSocket?.port, at.child('tcpSocket', 'port')))
  one('grpc', () => portNumber(h.grpc?.port ?? 0, at.child('grpc', 'port')))
  one('sleep', () => {
    const seconds = h.sleep?.seconds ?? 0
    if (graceSeconds === undefined || (seconds >= 0 && seconds <= graceSeconds)) return []
    return [invalid(at.child('sleep'), seconds, `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`)]
  })
  if (seen === 0) errors.push(required(at, 'must specify a handler type'))
  return errors
}

const schemes = ['HTTP', 'HTTPS']
function validateHttpGet(h: HTTPGetAction, at: Path): FieldError[] {
  return [
    ...(h.path ? [] : [required(at.child('path'))]),
    ...portNumberOrName(h.port, at.child('port')),
    ...(schemes.includes(h.scheme ?? '') ? [] : [notSupported(at.child('scheme'), h.scheme ?? '', schemes)]),
    ...(h.httpHeaders ?? []).flatMap(header => httpHeaderName(header.name ?? '', at.child('httpHeaders'))),
  ]
}

const numbers = ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'] as const

export function validateProbe(
  kind: 'livenessProbe' | 'readinessProbe' | 'startupProbe',
  probe: Probe | undefined,
  graceSeconds: number | undefined,
  path: Path,
): FieldError[] {
  if (!probe) return []
  const at = path.child(kind)
  const errors = validateHandler(probe, graceSeconds, at)
  for (const name of numbers) errors.push(...nonNegative(probe[name], at.child(name)))
  const grace = probe.terminationGracePeriodSeconds
  if (grace !== undefined && grace <= 0) errors.push(invalid(at.child('terminationGracePeriodSeconds'), grace, 'must be greater than 0'))
  if (kind === 'readinessProbe') {
    if (grace !== undefined) errors.push(invalid(at.child('terminationGracePeriodSeconds'), grace, 'must not be set for readinessProbes'))
  } else if (probe.successThreshold !== 1) errors.push(invalid(at.child('successThreshold'), probe.successThreshold ?? 0, 'must be 1'))
  return errors
}

const linuxSignals = [
  ...[
    'ABRT',
    'ALRM',
    'BUS',
    'CHLD',
    'CLD',
    'CONT',
    'FPE',
    'HUP',
    'ILL',
    'INT',
    'IO',
    'IOT',
    'KILL',
    'PIPE',
    'POLL',
    'PROF',
    'PWR',
    'QUIT',
    'SEGV',
    'STKFLT',
    'STOP',
    'SYS',
  ],
  ...['TERM', 'TRAP', 'TSTP', 'TTIN', 'TTOU', 'URG', 'USR1', 'USR2', 'VTALRM', 'WINCH', 'XCPU', 'XFSZ', 'RTMIN', 'RTMAX'],
  ...Array.from({ length: 15 }, (_, i) => `RTMIN+${i + 1}`),
  ...Array.from({ length: 14 }, (_, i) => `RTMAX-${i + 1}`),
].map(s => `SIG${s}`)
const windowsSignals = ['SIGTERM', 'SIGKILL']

/** `os` is the pod's spec.os.name. */
export function validateLifecycle(
  lifecycle: Lifecycle | undefined,
  graceSeconds: number | undefined,
  os: string | undefined,
  at: Path,
): FieldError[] {
  if (!lifecycle) return []
  const errors: FieldError[] = []
  if (lifecycle.postStart) errors.push(...validateHandler(lifecycle.postStart, graceSeconds, at.child('postStart')))
  if (lifecycle.preStop) errors.push(...validateHandler(lifecycle.preStop, graceSeconds, at.child('preStop')))
  const signal = lifecycle.stopSignal
  if (signal !== undefined) {
    const supported = os === 'windows' ? windowsSignals : linuxSignals
    if (!os) errors.push(forbidden(at.child('stopSignal'), 'may not be set for containers with empty `spec.os.name`'))
    else if (!supported.includes(signal)) errors.push(notSupported(at.child('stopSignal'), signal, supported))
  }
  return errors
}
