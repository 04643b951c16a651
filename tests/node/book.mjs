// What the provider did, in numbers, so that a test can judge "each refresh token was redeemed once"
// from the provider's side and not from the client's.
//
// A refresh token is opaque here, so its `jti` is the token itself.

export class Book {
  grants = {}; //    grant_type -> token responses given
  refused = []; //   { grant_type, error, description } of each refusal at the token endpoint
  presented = {}; // refresh token -> times it was sent, by a known client, redeemed or not
  redeemed = {}; //  refresh token -> times it was exchanged for new tokens
  revoked = 0; //    whole grants taken back: reuse of a spent refresh token, or a revocation request

  constructor(provider) {
    provider.on('grant.success', (ctx) => {
      add(this.grants, ctx.oidc.params.grant_type);
      this.#present(ctx);
    });
    provider.on('grant.error', (ctx, error) => {
      this.refused.push({
        grant_type: ctx.oidc.params?.grant_type,
        error: error.error,
        description: error.error_detail ?? error.error_description ?? error.message,
      });
      this.#present(ctx);
    });
    provider.on('refresh_token.consumed', (token) => add(this.redeemed, token.jti));
    provider.on('grant.revoked', () => {
      this.revoked += 1;
    });
  }

  #present(ctx) {
    const { grant_type: grantType, refresh_token: token } = ctx.oidc.params ?? {};
    if (grantType === 'refresh_token' && token && ctx.oidc.client) add(this.presented, token);
  }
}

function add(counts, key) {
  counts[key] = (counts[key] ?? 0) + 1;
}
