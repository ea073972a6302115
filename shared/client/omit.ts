/**
 * A header of ours on lists and watches: the field of metadata that the client does without. Other servers do not know it and send
 * everything.
 */
export const omitHeader = 'cox-omit'
export const managedFields = 'managedFields'
