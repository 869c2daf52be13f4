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

// Somebody signs in to an app: PAR, code and PKCE, the ID token, and all that it is good for.
const app = { client_id: task.app }
const provider = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...loose }),
)
const appKey = await crypto.subtle.importKey('jwk', task.app_jwk, algorithm, false, ['sign'])
const appAuthentication = oauth.PrivateKeyJwt({ key: appKey, kid: task.app_kid })
const appDPoP = oauth.DPoP(app, await oauth.generateKeyPair('ES256'))
const verifier = oauth.generateRandomCodeVerifier()
const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
const pushed = await oauth.processPushedAuthorizationResponse(
  provider,
  app,
  await oauth.pushedAuthorizationRequest(
    provider,
    app,
    appAuthentication,
    new URLSearchParams({
      client_id: task.app,
      response_type: 'code',
      redirect_uri: task.callback,
      scope: 'openid profile admin:read',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      acr_values: 'urn:urbanos:acr:2',
      max_age: '900',
      state,
      nonce,
    }),
    { ...loose, DPoP: appDPoP },
  ),
)

// The person's browser: opens the page and presses its first button.
const browser = { headers: { cookie: task.cookie }, redirect: 'manual' }
const address = new URL(provider.authorization_endpoint)
address.search = new URLSearchParams({ client_id: task.app, request_uri: pushed.request_uri })
const page = await (await fetch(address, browser)).text()
const [, action, fields] = /<form method="post" action="([^"]+)">(.*?)<\/form>/s.exec(page)
const sent = [...fields.matchAll(/name="([a-z_]+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value])
const pressed = await fetch(new URL(action, issuer), {
  ...browser,
  method: 'POST',
  body: new URLSearchParams(sent),
})
const back = oauth.validateAuthResponse(provider, app, new URL(pressed.headers.get('location')), state)

const redeem = () =>
  oauth.authorizationCodeGrantRequest(provider, app, appAuthentication, back, task.callback, verifier, {
    ...loose,
    DPoP: appDPoP,
  })
const answer = await redeem()
const granted = await oauth.processAuthorizationCodeResponse(provider, app, answer, {
  expectedNonce: nonce,
  maxAge: 900,
  requireIdToken: true,
})
await oauth.validateApplicationLevelSignature(provider, answer, loose)
const signedIn = { nonce, claims: oauth.getValidatedIdTokenClaims(granted), scope: granted.scope }
signedIn.userinfo = await oauth.processUserInfoResponse(
  provider,
  app,
  signedIn.claims.sub,
  await oauth.userInfoRequest(provider, app, granted.access_token, { ...loose, DPoP: appDPoP }),
)
const list = await oauth.protectedResourceRequest(
  granted.access_token, 'GET', new URL('/v1/admin/clients', issuer), undefined, undefined,
  {
    ...loose,
    DPoP: appDPoP,
    [oauth.customFetch]: async (url, init) => {
      signedIn.access = await oauth.validateJwtAccessToken(
        provider,
        new Request(url, { method: init.method, headers: init.headers }),
        resource.resource,
        { ...loose, requireDPoP: true },
      )
      return fetch(url, init)
    },
  },
)
signedIn.status = list.status
const asked = async () =>
  oauth.processIntrospectionResponse(
    provider,
    app,
    await oauth.introspectionRequest(provider, app, appAuthentication, granted.access_token, loose),
  )
signedIn.introspected = await asked()
await oauth.processRevocationResponse(
  await oauth.revocationRequest(provider, app, appAuthentication, granted.access_token, loose),
)
signedIn.after_revocation = await asked()
try {
  await oauth.processAuthorizationCodeResponse(provider, app, await redeem())
} catch (error) {
  signedIn.code_again = error.error
}
told.signed_in = signedIn
process.stdout.write(JSON.stringify(told))
