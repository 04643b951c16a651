"""Signs a Begin in Python. No package needed. The nonce: secrets.token_urlsafe(16), anew for each."""

import hashlib
import hmac


def sign_v1(key: bytes, integration_id: str, connection_id: str) -> str:
    return hmac.new(key, f"{integration_id}:{connection_id}".encode(), hashlib.sha256).hexdigest()


def netstrings(*fields: object) -> bytes:
    encoded = (str(field).encode() for field in fields)
    return b"".join(b"%d:%s," % (len(field), field) for field in encoded)


def sign_v2(key: bytes, project_id: str, integration_id: str, connection_id: str, expiry: int, nonce: str, *,
            connection_config: dict = {}, authorization_params: dict = {}, scopes: list = [],
            user_scopes: list = [], return_url: str = "") -> str:
    content = b""
    for name, fields in ("connection_config", connection_config), ("authorization_params", authorization_params):
        content += netstrings(name, len(fields))
        content += b"".join(netstrings(key_, fields[key_]) for key_ in sorted(fields))
    for name, items in ("scopes", scopes), ("user_scopes", user_scopes):
        content += netstrings(name, len(items), *items)
    content += netstrings("return_url", return_url)
    message = netstrings("tokenwell-begin-v2", project_id, integration_id, connection_id, expiry,
                         hashlib.sha256(content).hexdigest(), nonce)
    return f"t={expiry},n={nonce},v2={hmac.new(key, message, hashlib.sha256).hexdigest()}"


if __name__ == "__main__":
    key = b"0123456789abcdef0123456789abcdef"
    print(sign_v1(key, "zendesk", "user-1"))
    print(sign_v2(key, "default", "zendesk", "user-1", 1790000600, "n-1", connection_config={"subdomain": "acme"},
                  authorization_params={"login_hint": "zoë", "b": "2"}, scopes=["read", "write"],
                  return_url="https://app.example.com/done"))
