/** core/v1 EventSource. */
import { obj, opt, str } from '../../machinery/schema.ts'

export const eventSource = obj('io.k8s.api.core.v1.EventSource', 'Who saw the event.', () => ({
  component: opt(1, str(), { doc: 'The component.' }),
  host: opt(2, str(), { doc: 'The node it runs on.' }),
}))
