/** MutatingAdmissionWebhook: webhooks change objects, one after the other (k8s.io/apiserver/pkg/admission/plugin/webhook/mutating). */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { validateManagedFields } from '#shared/api/meta/validation.ts'
import { Path } from '#shared/machinery/field.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { jsonPatch } from '#shared/machinery/patch/json.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { badRequest, internalError, StatusError } from '#shared/machinery/status.ts'
import { equal } from '../../objects/equal.ts'
import { caughtUp } from '../../registry/current.ts'
import type { AdmissionPlugin, AdmissionRequest, Attributes } from '../admission.ts'
import type { Match } from '../matching.ts'
import { ask } from './ask.ts'
import { followConfigurations, type Hook } from './configurations.ts'
import { CallFailed, checkTime } from './failure.ts'
import { formOf, type Form } from './form.ts'
import { conditionsMatch } from './matchconditions.ts'
import { observed } from './observed.ts'
import type { Parts } from './parts.ts'
import { concerned } from './selected.ts'

/** What is remembered of the first round, for the second. */
interface Round {
  /** Webhooks that were asked and may be asked again. */
  asked: Set<string>
  /** Those that are asked again. */
  readonly again: Set<string>
  /** The object when all had been asked. */
  last: KubeObject | undefined
}

export function mutatingWebhooks(parts: Parts): AdmissionPlugin {
  const { registry, serving } = parts
  const configurations = followConfigurations(registry, 'mutatingwebhookconfigurations', serving)
  const rounds = new WeakMap<Attributes, Round>()

  /** All that were asked so far and may be asked again are, as somebody changed the object after them. */
  const requireAgain = (round: Round): void => {
    for (const id of round.asked) round.again.add(id)
    round.asked = new Set()
  }

  /** Resolves with the changed object, or nothing. */
  async function dispatch(r: AdmissionRequest, hooks: readonly Hook[]): Promise<KubeObject | undefined> {
    let round = rounds.get(r)
    if (r.reinvocation && round && !equal(round.last, r.object)) requireAgain(round)
    let changed = false
    for (const hook of hooks) {
      const matching = hook.matcher.match(r)
      const match = matching instanceof Promise ? await matching : matching
      if (!match) continue
      if (r.reinvocation && !round?.again.has(hook.id)) continue
      const form = formOf(r, match, serving())
      if (!(await conditionsMatch(parts, hook, 'admit', r, match, form.objects))) continue
      if (hook.webhook.reinvocationPolicy === 'IfNeeded' && !round)
        rounds.set(r, (round = { asked: new Set(), again: new Set(), last: undefined }))
      const made = await changeBy(r, hook, match, form)
      if (made) {
        keepManagers(r, made)
        r.object = made
        changed = true
        if (round) requireAgain(round)
      }
      if (hook.webhook.reinvocationPolicy === 'IfNeeded') round!.asked.add(hook.id)
    }
    if (round) round.last = clone(r.object)
    return changed ? r.object : undefined
  }

  /** The object that a webhook makes of the request's; undefined when it leaves it as it is, or fails and may. */
  async function changeBy(r: AdmissionRequest, hook: Hook, match: Match, form: Form): Promise<KubeObject | undefined> {
    const at = `round_${r.reinvocation ? 1 : 0}_index_${hook.index}`
    const note = (mutated: boolean): void =>
      r.annotate(
        `mutation.webhook.admission.k8s.io/${at}`,
        JSON.stringify({ configuration: hook.configuration, webhook: hook.webhook.name, mutated }),
      )
    try {
      const made = await observed(parts, hook, 'admit', r, async () => {
        const objects = form.objects instanceof Promise ? await form.objects : form.objects
        const { patch, patchType } = await ask(parts.webhooks, hook, r, match, objects, true)
        if (patch === undefined) return undefined
        const operations = operationsOf(hook, patch, patchType)
        if (operations.length === 0) return undefined
        if (!objects.object)
          throw internalError(
            `admission webhook ${JSON.stringify(hook.webhook.name)} attempted to modify the object, which is not supported for this operation`,
          )
        const object = form.read(patched(objects.object, patch))
        checkNamespace(r, object)
        const annotation = { configuration: hook.configuration, webhook: hook.webhook.name, patch: operations, patchType: 'JSONPatch' }
        r.annotate(`patch.webhook.admission.k8s.io/${at}`, JSON.stringify(annotation), 'Request')
        return equal(objects.object, object) ? undefined : form.stored(object)
      })
      note(made !== undefined)
      return made
    } catch (e) {
      note(false)
      if (!(e instanceof CallFailed)) throw e
      if (!e.canceled) r.annotate(`failed-open.mutation.webhook.admission.k8s.io/${at}`, hook.webhook.name)
      checkTime()
      return undefined
    }
  }

  function begin(a: Attributes): Maybe<KubeObject | undefined> {
    const hooks = concerned(configurations, a)
    return hooks.length === 0 ? undefined : dispatch(a as AdmissionRequest, hooks)
  }

  return {
    name: 'MutatingAdmissionWebhook',
    external: true,
    mutate: a => (registry.current ? begin(a) : caughtUp(registry).then(() => begin(a))),
  }
}

function operationsOf({ webhook }: Hook, patch: string, patchType: string): readonly unknown[] {
  let operations: unknown
  try {
    operations = parseJson(patch)
  } catch (e) {
    throw new CallFailed(webhook.name, `received undecodable patch in webhook response: ${(e as Error).message}`, 503)
  }
  if (!Array.isArray(operations))
    throw new CallFailed(
      webhook.name,
      'received undecodable patch in webhook response: json: cannot unmarshal into Go value of type jsonpatch.Patch',
      503,
    )
  if (operations.length > 0 && patchType !== 'JSONPatch')
    throw new CallFailed(webhook.name, `unsupported patch type ${JSON.stringify(patchType)}`, 400)
  return operations
}

function patched(object: KubeObject, patch: string): unknown {
  try {
    return jsonPatch(object, patch)
  } catch (e) {
    throw e instanceof StatusError ? internalError((e as { why?: string }).why ?? e.message) : e
  }
}

/** Managed fields that a webhook has spoilt stay as they were (k8s.io/apimachinery/pkg/util/managedfields). */
function keepManagers(r: AdmissionRequest, { metadata }: KubeObject): void {
  const before = r.object?.metadata?.managedFields
  if (!metadata || equal(before, metadata.managedFields)) return
  const [wrong] = validateManagedFields(metadata.managedFields, new Path('metadata').child('managedFields'))
  if (!wrong) return
  if (before) metadata.managedFields = before
  else delete metadata.managedFields
  r.warn(
    `.metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: ${wrong.field}: ${wrong.message}`,
  )
}

/** An object is made where it was asked for; that it stays there is a rule of updates. */
function checkNamespace(a: Attributes, object: KubeObject): void {
  if (a.operation !== 'CREATE' || a.subresource !== '') return
  object.metadata ??= {}
  if (a.namespace !== '') object.metadata.namespace ??= a.namespace
  if ((object.metadata.namespace ?? '') !== a.namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
}
