/** The options that requests carry, in the query or, for deletions, in the body: metav1.DeleteOptions, ListOptions, CreateOptions, ... */
import { bool, int64, list, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { typeMeta } from './objectmeta.ts'

const dryRunDoc = 'All: go through every stage but do not store.'
const managerDoc = 'Name under which the change is recorded in managedFields.'
const validationDoc = 'What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.'

export const preconditions = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.Preconditions',
  'What must hold for the object before it is deleted.',
  () => ({
    uid: opt(1, str(), { doc: 'The UID the object must have.', pointer: true }),
    resourceVersion: opt(2, str(), { doc: 'The version the object must have.', pointer: true }),
  }),
)

export const deleteOptions = obj('io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions', 'How an object is deleted.', () => ({
  ...typeMeta(),
  gracePeriodSeconds: opt(1, int64(), { doc: 'Seconds until the object is removed; 0 at once, absent as its kind prescribes.' }),
  preconditions: opt(2, preconditions, { doc: 'Checked before the deletion; a mismatch is a conflict.' }),
  orphanDependents: opt(3, bool(), { doc: 'Deprecated form of propagationPolicy.' }),
  propagationPolicy: opt(4, str(['Orphan', 'Background', 'Foreground']), {
    doc: 'What happens to dependents: Orphan, Background or Foreground.',
    pointer: true,
  }),
  dryRun: opt(5, list(str()), { doc: dryRunDoc, listType: 'atomic' }),
  ignoreStoreReadErrorWithClusterBreakingPotential: opt(6, bool(), { doc: 'Delete even an object that cannot be read from the store.' }),
}))
export type DeleteOptions = Infer<typeof deleteOptions>

export const listOptions = obj('io.k8s.apimachinery.pkg.apis.meta.v1.ListOptions', 'What a list or watch returns.', () => ({
  ...typeMeta(),
  labelSelector: opt(1, str(), { doc: 'Only objects with these labels.' }),
  fieldSelector: opt(2, str(), { doc: 'Only objects with these field values.' }),
  watch: opt(3, bool(), { doc: 'Stream changes instead of listing.', pointer: false }),
  allowWatchBookmarks: opt(9, bool(), { doc: 'Send bookmarks in between events.', pointer: false }),
  resourceVersion: opt(4, str(), { doc: 'The version to start from.' }),
  resourceVersionMatch: opt(10, str(), { doc: 'How resourceVersion is meant: Exact or NotOlderThan.' }),
  timeoutSeconds: opt(5, int64(), { doc: 'When to end the call.' }),
  limit: opt(7, int64(), { doc: 'Most items in one answer.', pointer: false }),
  continue: opt(8, str(), { doc: 'Token of the answer before, for the next part.' }),
  sendInitialEvents: opt(11, bool(), { doc: 'Start a watch with the existing objects and a bookmark.' }),
}))
export type ListOptions = Infer<typeof listOptions>

export const getOptions = obj('io.k8s.apimachinery.pkg.apis.meta.v1.GetOptions', 'How one object is read.', () => ({
  ...typeMeta(),
  resourceVersion: opt(1, str(), { doc: 'The least version that the answer may show.' }),
}))
export const createOptions = obj('io.k8s.apimachinery.pkg.apis.meta.v1.CreateOptions', 'How an object is created.', () => ({
  ...typeMeta(),
  dryRun: opt(1, list(str()), { doc: dryRunDoc, listType: 'atomic' }),
  fieldManager: opt(3, str(), { doc: managerDoc }),
  fieldValidation: opt(4, str(), { doc: validationDoc }),
}))
export const updateOptions = obj('io.k8s.apimachinery.pkg.apis.meta.v1.UpdateOptions', 'How an object is updated.', () => ({
  ...typeMeta(),
  dryRun: opt(1, list(str()), { doc: dryRunDoc, listType: 'atomic' }),
  fieldManager: opt(2, str(), { doc: managerDoc }),
  fieldValidation: opt(3, str(), { doc: validationDoc }),
}))
export const patchOptions = obj('io.k8s.apimachinery.pkg.apis.meta.v1.PatchOptions', 'How an object is patched.', () => ({
  ...typeMeta(),
  dryRun: opt(1, list(str()), { doc: dryRunDoc, listType: 'atomic' }),
  force: opt(2, bool(), { doc: 'Take over fields that other managers own (apply only).' }),
  fieldManager: opt(3, str(), { doc: managerDoc }),
  fieldValidation: opt(4, str(), { doc: validationDoc }),
}))
