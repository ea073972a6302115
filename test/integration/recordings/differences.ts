/** Where answers of v1.35 may differ from those of the recorded v1.20, each with its reason. */
import { acceptedPod, gonePod, rewordedPod, type Accepted } from './accepted-pod.ts'

const acceptedOthers: readonly Accepted[] = [
  {
    match: /^mutate\/ns\/metadata\.name\/="(Not_Valid!|xxxxx)/,
    reason: 'namespaces have a label with their name (v1.21), which is checked as well',
  },
  {
    match: /^(mutate|put)\/svc-(np|lb)\/spec\.externalTrafficPolicy\//,
    reason: 'a wrong policy is an unsupported value and no longer an invalid one (v1.26)',
  },
  {
    match: /^(mutate|put)\/svc-lb\/spec\.loadBalancerSourceRanges\.0\//,
    reason: 'each range is reported by itself, as other ranges are (v1.33)',
  },
  {
    match: /^put\/svc(-np|-lb|-headless)?\/spec\/delete$/,
    reason: 'allocated addresses are taken over when they are left out (v1.20 did so for clusterIP alone, v1.21 and later for all)',
  },
  {
    match: /^put\/svc(-lb|-headless)\/metadata\.uid\/change$/,
    reason: 'services go through the generic store (v1.24): a wrong UID is a conflict as for all other kinds',
  },
  { match: 'put/svc/metadata.uid/change', reason: 'as above' },
  { match: 'table/svc-lb', reason: 'the node port in the cell is allocated at random' },
  { match: 'put/node/spec/delete', reason: 'the general rule for changes of a node spec is gone (v1.28); those for its fields are left' },
  {
    match: /^mutate\/deploy\/spec\.selector\.matchExpressions\.0\.values\.0\/="xxxxx/,
    reason: 'values of selectors must be label values (v1.25)',
  },
  { match: /^table\/pod-/, reason: 'the column of restarts is a text, with when the last one was (v1.22)' },
  {
    match: 'mutate/job/spec.ttlSecondsAfterFinished/=-1',
    reason: 'the field was dropped before it was looked at: its feature was off (on since v1.21)',
  },
  {
    match: /^put\/job\/spec\.template(\/|\.metadata(\.labels(\.(job-name|controller-uid))?)?\/)(delete|change)$/,
    reason: 'the labels of pods have a second form, with a prefix (v1.27)',
  },
  { match: /^mutate\/sts\/metadata\.name\/="xxxxx/, reason: 'the name must be a label, as it is in the names of hosts (v1.26)' },
  { match: 'mutate/sts/spec.serviceName/', reason: 'the name of the service must be a label (v1.34)' },
  {
    match: /^(mutate|put)\/sts\/spec(\.template(\.spec(\..*)?)?)?\/(delete|dup|change|=\{\}|=null|="".*|="Not_Valid!")$/,
    reason: 'the template is checked like that of other kinds (v1.34)',
  },
  { match: /^(mutate|put)\/sts\/spec\.volumeClaimTemplates(\/dup|\.0)/, reason: 'the templates of claims are checked (v1.34)' },
  { match: 'put/sts/spec.revisionHistoryLimit/change', reason: 'the field may be changed (v1.33)' },
  {
    match: /^(mutate|put)\/hpa1\/spec(\.scaleTargetRef(\.apiVersion)?)?\/(delete|=\{\}|=null|=""|="xxxxx.*)$/,
    reason: 'what is scaled must name its API group (v1.34)',
  },
  { match: 'table/hpa1', reason: 'the metric is named (v1.29)' },
  { match: 'request/05', reason: 'services can be selected by spec.type (v1.22)' },
  { match: 'request/29', reason: 'the generated name is random' },
  { match: 'table/sa', reason: 'secrets are not counted any more (v1.35)' },
  { match: 'table/quota', reason: 'the age moved to the end (v1.33)' },
  { match: 'table/priorityclass', reason: 'a column for the preemption policy was added' },
  { match: 'put/priorityclass/value/change', reason: 'the error names the field as the API does, no longer as Go' },
  { match: 'put/ingress/spec.defaultBackend/delete', reason: 'v1.20 kept a default backend that an update left out' },
  {
    match: /^mutate\/pv\/spec\.nodeAffinity\..*\.values\.0\/="(Not_Valid!|xxxxx)/,
    reason: 'values of required node affinity must be label values (v1.31)',
  },
  { match: /^put\/csidriver\/spec/, reason: 'most fields of CSI drivers may change now, the others are reported by name (v1.22 to v1.29)' },
  { match: /^put\/csinode\/spec\.drivers\.0/, reason: 'the path is that of the field (v1.33)' },
  {
    match: /^mutate\/crd\/.*\.replicas\.default\/(="NaN"|=1\.5)$/,
    reason: 'a value of another type is FieldValueTypeInvalid today',
  },
  {
    match: 'mutate/crd/spec.versions.0.schema.openAPIV3Schema.properties.spec.properties.replicas.minimum/=1.5',
    reason: 'upstream cuts the fraction off the minimum of an integer when it checks a default',
  },
  {
    match: /^(mutate|put)\/crd\/.*\.replicas\.type\/(="Not_Valid!"|change$)/,
    reason: 'a default is compared with its schema when the schema is sound',
  },
  { match: /^table\/pvc?$/, reason: 'the column VolumeAttributesClass came' },
  { match: 'request/43', reason: 'another version' },
  { match: 'request/46', reason: 'another address' },
  { match: /^request\/4[789]$/, reason: 'kinds and groups that come later, and beta groups that are gone' },
]

/** Recordings whose answer is another one today. */
export const accepted: readonly Accepted[] = [...acceptedPod, ...acceptedOthers]

/** Fields of recorded objects that no longer exist. */
export const gone: readonly { field: string; reason: string }[] = [
  ...gonePod,
  { field: 'spec.selector.matchLabels[controller-uid]', reason: 'the label of a job got a prefix (v1.27)' },
]

/** Requests as clients of today send them: `text` in the JSON of a body is replaced. */
export const newer: readonly { text: string; as: string; reason: string }[] = [
  {
    text: '"selector":{"matchLabels":{"controller-uid":"<uid>"}}',
    as: '"selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"<uid>"}}',
    reason: 'the label of a job got a prefix (v1.27)',
  },
  {
    text: '"labels":{"controller-uid":"<uid>","job-name":"j1"}',
    as: '"labels":{"controller-uid":"<uid>","job-name":"j1","batch.kubernetes.io/controller-uid":"<uid>","batch.kubernetes.io/job-name":"j1"}',
    reason: 'so did the labels of its pods, which have both',
  },
]

/** Messages that say the same in other words: in recording and answer alike `text` becomes `as` before they are compared. */
export const reworded: readonly { text: RegExp; as: string; reason: string }[] = [
  ...rewordedPod,
  {
    text: /(updates to statefulset spec for fields other than ).*( are forbidden)/,
    as: '$1some$2',
    reason: 'more fields may be changed',
  },
  { text: /(field is immutable), except for updating from beta label to GA/, as: '$1', reason: 'labels of node affinity may (v1.21)' },
  { text: /must to greater or equal than 0/, as: 'must be greater than or equal to 0', reason: 'language' },
  { text: /("ReadWriteOnce"), "ReadWriteOncePod"/, as: '$1', reason: 'an access mode came (v1.22)' },
  { text: /resources\.requests( and volumeAttributesClassName)? for bound claims/, as: 'resources.requests ...', reason: 'a field came' },
  {
    text: /field can not be less than (previous value|status\.capacity)/,
    as: 'field can not be less',
    reason: 'claims may shrink (v1.34)',
  },
  { text: /may not be more than (\d+) bytes/, as: 'must have at most $1 bytes', reason: 'language' },
  {
    text: /must appear in spec\.versions|missing from spec\.versions; [^]*/,
    as: 'must appear in spec.versions',
    reason: 'what to do is told (v1.31)',
  },
  { text: /(Required value): (kind|name) is required$/, as: '$1', reason: 'the field says it already' },
  {
    text: /must be valid CIDR$|not a valid CIDR$/,
    as: 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    reason: 'examples were added',
  },
  { text: /: (uid|kind|name) must not be empty$/, as: ': must not be empty', reason: 'the field says it already' },
  {
    text: /(Invalid value: ).*(unrecognized type: int32|cannot unmarshal string into Go struct field .*)$/,
    as: '$1wrong type',
    reason: 'another JSON decoder',
  },
]

/** Fields that were named otherwise in causes. */
export const renamed: readonly { field: string; as: string; reason: string }[] = [
  { field: '[%s]', as: '', reason: 'a format that was never filled in' },
]

export const matchesId = (a: Accepted, id: string): boolean => (typeof a.match === 'string' ? id.startsWith(a.match) : a.match.test(id))

/**
 * Manifests of which less than 97 of 100 answers are as recorded, in percent: v1.35 has other rules for them, and what is accepted says
 * which.
 */
export const changed: Readonly<Record<string, { readonly atLeast: number; readonly because: string }>> = {
  '': { atLeast: 85, because: 'discovery, versions and addresses are among few requests' },
  sts: { atLeast: 72, because: 'the templates of pods and of claims are checked, as those of other kinds always were' },
  hpa1: { atLeast: 88, because: 'what is scaled must name its API group' },
  crd: { atLeast: 86, because: 'definitions are established' },
  'svc-lb': { atLeast: 92, because: 'ranges are reported each by itself, policies as unsupported, and what is left out is kept' },
  'svc-np': { atLeast: 96, because: 'policies are reported as unsupported, and what is left out is kept' },
  csidriver: { atLeast: 92, because: 'most fields may be changed' },
  csinode: { atLeast: 95, because: 'the path of an error is that of the API' },
  ns: { atLeast: 95, because: 'the label with the name is checked too' },
  job: { atLeast: 95, because: 'the labels of pods have a second form' },
  priorityclass: { atLeast: 96, because: 'a column more, and another path' },
}
