/** What a request is in the eyes of policies: its objects in the version that was matched, and its attributes. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import type { Serving } from '../../surface.ts'
import type { Attributes } from '../admission.ts'
import type { Match } from '../matching.ts'
import { formOf, type Form } from '../webhook/form.ts'

export interface Versioned {
  readonly match: Match
  readonly form: Form
  readonly object: KubeObject | undefined
  readonly old: KubeObject | undefined
}

/** Rejects when the objects cannot be converted. */
export function versioned(a: Attributes, match: Match, serving: Serving): Maybe<Versioned> {
  const form = formOf(a, match, serving)
  return after(form.objects, ({ object, old }) => ({ match, form, object, old }))
}

/** Fields that Go leaves out when they are empty. */
const present = (name: string, value: string): Record<string, string> => (value === '' ? {} : { [name]: value })

/** `request`: an AdmissionRequest without objects. */
export function admissionRequest(a: Attributes, { kind, resource }: Match): object {
  const { name, uid, groups, extra } = a.user
  return {
    kind,
    resource,
    ...present('subResource', a.subresource),
    requestKind: a.requestKind,
    requestResource: a.requestResource,
    ...present('requestSubResource', a.subresource),
    ...present('name', a.name),
    ...present('namespace', a.namespace),
    operation: a.operation,
    userInfo: {
      ...present('username', name),
      ...present('uid', uid ?? ''),
      ...(groups.length > 0 ? { groups } : {}),
      ...(extra && Object.keys(extra).length > 0 ? { extra } : {}),
    },
    dryRun: a.dryRun,
    ...(a.options ? { options: a.options } : {}),
  }
}
