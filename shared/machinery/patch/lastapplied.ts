/**
 * The annotation of kubectl's client-side apply, of which its server-side apply takes the fields over and which it keeps true
 * (k8s.io/apimachinery pkg/util/managedfields/internal/lastappliedmanager.go, lastappliedupdater.go).
 */
import type { KubeObject, ObjectMeta } from '../../api/meta/objectmeta.ts'
import { maxAnnotationBytes, sizeOfAnnotations } from '../../api/meta/validation.ts'
import { compare, configured } from '../managedfields/compare.ts'
import { difference, type FieldSet } from '../managedfields/fieldset.ts'
import type { Shape } from '../managedfields/shape.ts'
import { canonical, isDocument, type Document } from './document.ts'

/** The manager that kubectl is unless it is told otherwise; for others none of this holds. */
export const kubectl = 'kubectl'
const annotation = 'kubectl.kubernetes.io/last-applied-configuration'

/** The fields that client-side apply set and that are still so; none without the annotation, or where it is of another version. */
export function ownedByLastApplied(shape: Shape, live: Document, apiVersion: string): FieldSet {
  const text = (live['metadata'] as ObjectMeta | undefined)?.annotations?.[annotation]
  let applied: unknown
  try {
    applied = JSON.parse(text ?? '')
  } catch {
    return {}
  }
  if (!isDocument(applied) || applied['apiVersion'] !== apiVersion) return {}
  const { changed, removed } = compare(shape, live, applied)
  return difference(difference(configured(shape, applied), changed), removed)
}

/** Makes an object's annotation, where it has one, say the configuration. It goes where the annotations would become too large. */
export function keepLastApplied(object: KubeObject, config: Document): void {
  const { annotations } = object.metadata
  if (!annotations?.[annotation]) return
  const { [annotation]: _, ...named } = (config['metadata'] as ObjectMeta).annotations ?? {}
  const metadata = { ...(config['metadata'] as object), ...((config['metadata'] as ObjectMeta).annotations && { annotations: named }) }
  const { [annotation]: __, ...others } = annotations
  const kept = { ...others, [annotation]: `${canonical({ ...config, metadata })}\n` }
  object.metadata = { ...object.metadata, annotations: sizeOfAnnotations(kept) > maxAnnotationBytes ? others : kept }
}
