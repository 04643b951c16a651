// The in-memory store of the test provider.
//
// oidc-provider's own memory adapter is an LRU of about a thousand entries, and one authorization takes
// six of them: a test with some hundred connections would see valid refresh tokens vanish. This one
// forgets only what has expired.

const byUid = new Map(); // session uid -> session id
const byGrant = new Map(); // grant id -> where each token issued under it is kept

export class Store {
  #entries = new Map();

  async upsert(id, payload, expiresIn) {
    const expires = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
    this.#entries.set(id, { payload, expires });
    if (payload.kind === 'Session') byUid.set(payload.uid, id);
    if (payload.grantId) {
      if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, []);
      byGrant.get(payload.grantId).push({ store: this, id });
    }
  }

  async find(id) {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    if (entry.expires > Date.now()) return entry.payload;
    this.#entries.delete(id);
    return undefined;
  }

  async findByUid(uid) {
    return this.find(byUid.get(uid));
  }

  async consume(id) {
    const entry = this.#entries.get(id);
    if (entry) entry.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.#entries.delete(id);
  }

  // Called once per kind of token, so it must forget only the entries of this kind.
  async revokeByGrantId(grantId) {
    for (const member of byGrant.get(grantId) ?? []) {
      if (member.store === this) this.#entries.delete(member.id);
    }
  }
}
