/** Reads, makes and signs certificate requests. The library for it (100 ms, 20 MB) comes with the first that is worked on. */
const library = new URL(import.meta.url.endsWith('.ts') ? './library.ts' : './certificates.js', import.meta.url).href

export const certificates = (): Promise<typeof import('./library.ts')> => import(library) as Promise<typeof import('./library.ts')>
