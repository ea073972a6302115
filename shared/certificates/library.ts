/** What works with certificates by a library that is heavy: a bundle of its own, loaded by certificates.ts. */
export { signRequest } from './authority.ts'
export { newRequest } from './newrequest.ts'
export { parseRequest } from './request.ts'
