// OpenID Connect providers of others (npm oidc-provider), one a port, for the sign-in's tests.
// Reads its task as JSON from standard input; says "ready" when all of them listen. Whoever posts a
// login to an interaction is that person: what a person proves is their own provider's matter.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const chunks = []
for await (const chunk of process.stdin) chunks.push(chunk)
const task = JSON.parse(Buffer.concat(chunks).toString('utf8'))
const library = createRequire(`${task.packages}/`).resolve('oidc-provider')
const { Provider } = await import(pathToFileURL(library))

async function form(request) {
  const parts = []
  for await (const part of request) parts.push(part)
  return new URLSearchParams(Buffer.concat(parts).toString('utf8'))
}

for (const each of task.providers) {
  const provider = new Provider(each.issuer, {
    clients: [each.client],
    jwks: { keys: [each.key] },
    cookies: { keys: ['for tests'] },
    claims: { openid: ['sub', 'amr'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'groups'],
    acrValues: ['urn:example:mfa'],
    conformIdTokenClaims: each.claims_at_userinfo,
    features: { devInteractions: { enabled: false } },
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'PS256', 'RS256'] },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    async findAccount(_, id) {
      const person = each.people[id]
      return person && { accountId: id, claims: async () => ({ sub: id, ...person.claims }) }
    },
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
      })
      grant.addOIDCScope('openid profile email groups')
      await grant.save()
      return grant
    },
  })
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next()
    if (ctx.method !== 'POST') {
      const { params, prompt } = await provider.interactionDetails(ctx.req, ctx.res)
      ctx.body = { prompt: prompt.name, acr_values: params.acr_values }
      return undefined
    }
    const sent = await form(ctx.req)
    const person = each.people[sent.get('login')]
    const login = { accountId: sent.get('login'), acr: person?.acr, amr: person?.amr }
    const result = person ? { login } : { error: 'access_denied', error_description: '<b>no</b>' }
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false })
    ctx.respond = false
    return undefined
  })
  provider.on('server_error', (_, error) => console.error(error))
  await new Promise((listening) => { provider.listen(new URL(each.issuer).port, '127.0.0.1', listening) })
}
process.stdout.write('ready\n')
