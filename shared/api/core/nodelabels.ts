/** Labels of nodes that are not to be used any more (pkg/api/node/util.go). */
import { isLabelValue } from '../../machinery/names.ts'
import { lookUp } from '../../machinery/jsonvalue.ts'
import type { Path } from '../../machinery/field.ts'

const deprecated: { readonly [label: string]: string } = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  'app.kubernetes.io/created-by': 'deprecated since v1.9',
  'scheduler.alpha.kubernetes.io/preferAvoidPods': 'deprecated since v1.22; use Taints and Tolerations instead',
  'node-role.kubernetes.io/master': 'use "node-role.kubernetes.io/control-plane" instead',
}

/** What is to be said of a label, undefined when nothing is. */
export const deprecatedLabel = (label: string | undefined): string | undefined => lookUp(deprecated, label ?? '')

interface Term {
  readonly matchExpressions?: readonly { readonly key?: string | undefined; readonly values?: readonly string[] | undefined }[] | undefined
}

/** What is to be said of a node selector's term; values are looked at where validation does not. */
export const warningsForTerm = (term: Term | undefined, values: boolean, at: Path): string[] =>
  (term?.matchExpressions ?? []).flatMap(({ key, values: given }, i) => {
    const here = at.child('matchExpressions').index(i)
    const said = deprecatedLabel(key)
    return [
      ...(said === undefined ? [] : [`${here.child('key')}: ${key} is ${said}`]),
      ...(values ? (given ?? []) : []).flatMap((value, j) =>
        isLabelValue(value).map(why => `${here.child('values').index(j)}: ${value} is invalid, ${why}`),
      ),
    ]
  })
