/** Where pods (and pod templates) of v1.35 differ from the recorded answers of v1.20, each with its reason. */

export interface Accepted {
  /** The recording's id, or the start of it. */
  match: RegExp | string
  reason: string
}

/** Recordings whose answer is another one today. */
export const acceptedPod: readonly Accepted[] = [
  {
    match: /^(mutate|put)\/[^/]+\/spec\.(template\.spec\.)?hostAliases\./,
    reason: 'paths of host aliases got indices (v1.29), IP addresses another text',
  },
  {
    match: /^mutate\/pod-rich\/spec\.securityContext\.sysctls\.0\.name\//,
    reason: 'sysctl names may contain slashes since v1.25, and the pattern in the message shows it',
  },
  {
    match: /\.nodeSelectorTerms\.0\.matchExpressions\.0\.values\.0\/="xxxxx/,
    reason: 'values of required node affinity must be label values (v1.31)',
  },
  {
    match: /\.podAntiAffinity\..*\.labelSelector\.matchLabels\.app\/="Not_Valid!"/,
    reason: 'label selectors of pod affinity are checked like all others (v1.25): other path',
  },
  {
    match: /\.topologySpreadConstraints\.0\.labelSelector\.matchLabels\.app\/="xxxxx/,
    reason: 'label selectors of spread constraints are checked since v1.25',
  },
  { match: 'mutate/pod-rich/spec.dnsConfig.searches.0/=null', reason: 'search paths may contain underscores (v1.34): other text' },
  {
    match: /\.env(From)?\.\d+\.(name|prefix)\/="Not_Valid!"/,
    reason: 'environment names may be any printable ASCII text without = (v1.34)',
  },
  {
    match: /\.terminationMessagePolicy\/(="Not_Valid!"|change)/,
    reason: 'a wrong termination message policy is an unsupported value and no longer an invalid one',
  },
  {
    match: /^mutate\/pod-rich\/metadata\.annotations\/(=\{\}|delete)$/,
    reason: 'without the old seccomp annotation no annotations are left',
  },
  { match: 'mutate/pod-rich/spec.terminationGracePeriodSeconds/=-1', reason: 'a grace period below zero is one of a second (v1.27)' },
  { match: /^table\/pod-/, reason: 'restarts are a text since v1.22, which tells when the last one was' },
  {
    match: 'put/pod-host/spec.containers.0.ports.0.hostPort/change',
    reason: 'the host port is what is reported now, not the container port (v1.28)',
  },
]

/** Fields of recorded objects that no longer exist, by path from the top; map keys with dots stand in brackets. */
export const gonePod: readonly { field: string; reason: string }[] = [
  {
    field: 'metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]',
    reason: 'the seccomp field is not copied to the old annotation any more (v1.27)',
  },
]

/** Messages that say the same in other words: in recording and answer alike `text` becomes `as` before they are compared. */
export const rewordedPod: readonly { text: RegExp; as: string; reason: string }[] = [
  {
    text: /pod updates may not change fields other than [^]*/,
    as: 'pod updates may not change other fields',
    reason: 'the list of fields grew; a diff follows',
  },
  {
    text: /must be valid IP address|must be a valid IP address, \(e\.g\. 10\.9\.8\.7 or 2001:db8::ffff\)/,
    as: 'must be an IP address',
    reason: 'examples were added',
  },
  {
    text: /must contain at least one letter( or number \(a-z, 0-9\)| \(a-z\))/,
    as: 'must contain at least one letter',
    reason: 'a port name of digits only is none',
  },
  { text: /(must be (?:less than or )?equal to \S+ limit)( of \S+)?/, as: '$1', reason: 'the limit is told' },
  {
    text: /`configMapKeyRef`(, `secretKeyRef` or `fileKeyRef`| or `secretKeyRef`)/,
    as: '`configMapKeyRef` ...',
    reason: 'fileKeyRef came',
  },
]
