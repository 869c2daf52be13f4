// A strict client of OAuth, unmodified, goes through all that a machine does with the platform.
// Reads its task as JSON from standard input; writes what it was given as JSON. Any deviation from
// a standard that the library checks ends it with an error.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const chunks = []
for await (const chunk of process.stdin) chunks.push(chunk)
const task = JSON.parse(Buffer.concat(chunks).toString('utf8'))
const library = createRequire(`${task.packages}/`).resolve('oauth4webapi')
const oauth = await import(pathToFileURL(library))

const loose = { [oauth.allowInsecureRequests]: true } // plain HTTP, and nothing else
const issuer = new URL(task.issuer)
const told = {}

const resource = await oauth.processResourceDiscoveryResponse(
  issuer,
  await oauth.resourceDiscoveryRequest(issuer, loose),
)
told.resource = resource.resource
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...loose }),
)
told.issuer = server.issuer

const client = { client_id: task.client }
const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
const key = await crypto.subtle.importKey('jwk', task.jwk, algorithm, false, ['sign'])
const authentication = oauth.PrivateKeyJwt({ key, kid: task.kid })

async function token(options) {
  const asked = new URLSearchParams({ scope: task.scope, resource: resource.resource })
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, asked, {
    ...loose,
    ...options,
  })
  return oauth.processClientCredentialsResponse(server, client, response)
}

// What a resource server would see is judged by the library before our own server sees it.
async function read(granted, options) {
  const judged = async (url, init) => {
    const claims = await oauth.validateJwtAccessToken(
      server,
      new Request(url, { method: init.method, headers: init.headers }),
      resource.resource,
      { ...loose, requireDPoP: options.DPoP !== undefined },
    )
    told[options.DPoP === undefined ? 'bearer' : 'bound'] = claims
    return fetch(url, init)
  }
  const response = await oauth.protectedResourceRequest(
    granted.access_token, 'GET', new URL(task.address), undefined, undefined,
    { ...loose, ...options, [oauth.customFetch]: judged },
  )
  return response.status
}

const bearer = await token({})
told.status_bearer = await read(bearer, {})

const pair = await oauth.generateKeyPair('ES256')
const DPoP = oauth.DPoP(client, pair)
const bound = await token({ DPoP })
told.token_type = bound.token_type
told.status_bound = await read(bound, { DPoP })

async function introspect(granted) {
  const response = await oauth.introspectionRequest(
    server, client, authentication, granted.access_token, loose,
  )
  return oauth.processIntrospectionResponse(server, client, response)
}
told.introspected = await introspect(bearer)
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, authentication, bearer.access_token, loose),
)
told.after_revocation = await introspect(bearer)
try {
  told.status_revoked = await read(bearer, {})
} catch (error) {
  told.status_revoked = error.status ?? error.cause?.status ?? String(error)
  told.challenged = error.name
}
process.stdout.write(JSON.stringify(told))
