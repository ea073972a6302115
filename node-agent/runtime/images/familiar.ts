/** A canonical image name as people write it: without what Docker Hub's names have by default. */
export const familiar = (name: string): string => name.replace(/^docker\.io\/(library\/)?/, '')
