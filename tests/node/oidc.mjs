// A real OpenID provider for the tests: oidc-provider, http, 127.0.0.1, a port of the system's choice.
//
//   node oidc.mjs '{"client_id":"tokenwell","client_secret":"s3cret",
//                   "redirect_uris":["http://127.0.0.1:8080/oauth/callback"]}'
//
// Options (first argument, or OIDC_OPTIONS): client_id, client_secret, redirect_uris,
// access_token_ttl (seconds, 3600), token_endpoint_auth_method (client_secret_basic | client_secret_post),
// resource (RFC 8707: the one resource that there are tokens for, which are then JWTs; else there is none).
//
// Prints one line on stdout when it answers: {"issuer":"http://127.0.0.1:PORT","port":PORT}.
// It ends on SIGTERM and when stdin closes, so it cannot outlive the test that started it. Give it a
// pipe that stays open: with /dev/null as stdin it ends at once.
//
// What an HTTP client without a browser does to get through; it needs a cookie jar, and ONE JAR PER
// CONNECTION, for a signed-in session that has already consented skips both forms and gets a code under
// the same grant, where reuse of one refresh token also kills the other connection's.
//
//   1. GET  /auth?client_id&redirect_uri&response_type=code&scope=openid&state
//               &code_challenge&code_challenge_method=S256      303 to /interaction/UID     (login form)
//   2. POST /interaction/UID   prompt=login&login=NAME&password=ANY        303 to /auth/UID
//   3. GET  /auth/UID                                           303 to /interaction/UID2    (consent form)
//   4. POST /interaction/UID2  prompt=consent                              303 to /auth/UID2
//   5. GET  /auth/UID2                    303 to redirect_uri?code&state&iss
//
// The GET of /interaction/UID only shows the form and may be left out. Forms are
// application/x-www-form-urlencoded and carry no token against forgery. NAME becomes the subject.
// To refuse instead: GET /interaction/UID/abort, 303 to /auth/UID, 303 to redirect_uri?error=access_denied.
//
// Other paths: /token, /me (userinfo), /token/revocation, /jwks, /.well-known/openid-configuration and
// /__book, the counters of book.mjs. POST /__mint?count=N gives a list of N refresh tokens, each of a grant
// and a subject (minted-1, minted-2, ...) of its own, as if that user had consented to `openid`.
//
// A refresh token is issued for every scope. `offline_access` itself is granted only with
// prompt=consent in the request to /auth (OpenID Connect Core, section 11); else it is dropped in
// silence, and the token response's `scope` does not name it.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Book } from './book.mjs';
import { Store } from './store.mjs';

// Stdout carries the one line; oidc-provider writes its notices with console.info.
console.info = console.error;
const { default: Provider, errors } = await import('oidc-provider');

const FORTNIGHT = 14 * 24 * 3600;

const options = JSON.parse(process.argv[2] ?? process.env.OIDC_OPTIONS ?? '{}');

process.stdin.on('close', () => process.exit(0)).resume();
process.on('SIGTERM', () => process.exit(0));

// The issuer contains the port, so the port comes first.
const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, configuration(options));
provider.use(withoutForeignFont);
const book = new Book(provider);
const answer = provider.callback();
server.on('request', async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  const asked = { '/__book': () => book, '/__mint': () => mint(Number(searchParams.get('count'))) }[pathname];
  if (!asked) return answer(request, response);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(await asked()));
});

console.log(JSON.stringify({ issuer, port }));

let minted = 0;

async function mint(count) {
  const client = await provider.Client.find(options.client_id ?? 'tokenwell');
  const tokens = [];
  for (let i = 0; i < count; i += 1) {
    const accountId = `minted-${(minted += 1)}`;
    const grant = new provider.Grant({ accountId, clientId: client.clientId });
    grant.addOIDCScope('openid');
    const grantId = await grant.save();
    const about = { accountId, client, grantId, gty: 'authorization_code', scope: 'openid' };
    tokens.push(await new provider.RefreshToken({ ...about, expiresWithSession: false }).save());
  }
  return tokens;
}

function configuration(options) {
  return {
    adapter: Store,
    clients: [
      {
        client_id: options.client_id ?? 'tokenwell',
        client_secret: options.client_secret ?? 'secret',
        redirect_uris: options.redirect_uris ?? [],
        token_endpoint_auth_method: options.token_endpoint_auth_method ?? 'client_secret_basic',
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      },
    ],
    features: {
      devInteractions: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: options.resource !== undefined,
        getResourceServerInfo: (_ctx, resource) => {
          if (resource !== options.resource) throw new errors.InvalidTarget();
          return { scope: '', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
        },
      },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    // A token must outlive the browser session it was made in: this is what brokers ask for.
    expiresWithSession: () => false,
    // RFC 7009 leaves it open: revoking a refresh token takes the whole grant with it.
    revokeGrantPolicy: () => true,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, name: sub, email: `${sub}@example.test`, email_verified: true }),
    }),
    ttl: {
      AccessToken: options.access_token_ttl ?? 3600,
      AuthorizationCode: 60,
      Grant: FORTNIGHT,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: FORTNIGHT,
      Session: FORTNIGHT,
    },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    jwks: { keys: [signingKey()] },
  };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'test' };
}

// The forms import a font from another host; a test that forbids foreign requests must not see that.
async function withoutForeignFont(ctx, next) {
  await next();
  if (typeof ctx.body === 'string') ctx.body = ctx.body.replace(/@import url\([^)]*\);/, '');
}
