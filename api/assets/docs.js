// Nothing may leave the page but requests to the node that served it: no fonts from
// elsewhere, no proxy, no counting of visitors, no assistant.
const settings = {
  withDefaultFonts: false,
  proxyUrl: '',
  telemetry: false,
  showDeveloperTools: 'never',
  hideClientButton: true,
  documentDownloadType: 'none',
  persistAuth: false,
  agent: { disabled: true },
  mcp: { disabled: true },
}

// Who tries a listing wants all of it: filters are offered, not filled in.
function withoutFilters(document) {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
  const parameters = operations.flatMap((operation) => operation.parameters ?? [])
  for (const parameter of parameters.filter((one) => one.in === 'query')) {
    parameter.examples = { none: { value: '', 'x-disabled': true } }
  }
  return document
}

fetch('/openapi.json')
  .then((answer) => answer.json())
  .then((document) => {
    Scalar.createApiReference('#reference', { content: withoutFilters(document), ...settings })
  })
