// A certified authorization server, set up as the FAPI 2.0 Security Profile asks, for comparison.
// Reads its task as JSON from the first line of standard input; writes a line once it listens, and
// ends with standard input. Whoever comes with a browser is signed in and allows everything.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const lines = createInterface({ input: process.stdin })
const task = JSON.parse((await lines[Symbol.asyncIterator]().next()).value)
process.stdin.on('end', () => process.exit(0)).resume()
const library = createRequire(`${task.packages}/`).resolve('oidc-provider')
const { Provider } = await import(pathToFileURL(library))

const only = ['ES256']
const provider = new Provider(task.issuer, {
  clients: task.clients.map((client) => ({
    client_id: client.id,
    redirect_uris: client.redirect_uris,
    jwks: { keys: [client.jwk] },
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    id_token_signed_response_alg: 'ES256',
    dpop_bound_access_tokens: true,
  })),
  jwks: { keys: [task.jwk] },
  cookies: { keys: ['a key of no worth'] },
  scopes: ['openid', 'profile', 'email'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  routes: {
    authorization: '/oauth/authorize',
    pushed_authorization_request: '/oauth/par',
    token: '/oauth/token',
    userinfo: '/oauth/userinfo',
  },
  clientAuthMethods: ['private_key_jwt'],
  enabledJWA: {
    clientAuthSigningAlgValues: only,
    dPoPSigningAlgValues: only,
    idTokenSigningAlgValues: only,
  },
  features: {
    devInteractions: { enabled: false },
    fapi: { enabled: true, profile: '2.0' },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
    dPoP: { enabled: true },
    userinfo: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: () => ({ scope: 'openid', audience: task.issuer }),
      useGrantedResource: () => true,
    },
  },
  acrValues: ['urn:urbanos:acr:1', 'urn:urbanos:acr:2'],
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  ttl: { AuthorizationCode: 60, AccessToken: 300, IdToken: 300, Grant: 600, Session: 600, Interaction: 600 },
  renderError: (ctx, out) => {
    ctx.type = 'json'
    ctx.body = out
  },
})

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next()
  const { params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res)
  const accountId = session?.accountId ?? 'person'
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId, clientId: params.client_id })
  grant.addOIDCScope(params.scope)
  const result = { login: { accountId }, consent: { grantId: await grant.save() } }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true })
})

const { port } = new URL(task.issuer)
provider.listen(Number(port), '127.0.0.1', () => process.stdout.write('listening\n'))
