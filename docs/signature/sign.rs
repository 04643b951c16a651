//! Signs a Begin in Rust, with the crates hmac, sha2 and hex. The nonce: a random text, anew for each.

use std::{collections::BTreeMap, fmt::Write as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

#[derive(Default)]
struct Begin<'a> {
    project_id: &'a str,
    integration_id: &'a str,
    connection_id: &'a str,
    connection_config: BTreeMap<&'a str, &'a str>,
    authorization_params: BTreeMap<&'a str, &'a str>,
    scopes: Vec<&'a str>,
    user_scopes: Vec<&'a str>,
    return_url: &'a str,
}

fn sign_v1(
    key: &[u8],
    integration_id: &str,
    connection_id: &str,
) -> Result<String, hmac::digest::InvalidLength> {
    mac(key, &format!("{integration_id}:{connection_id}"))
}

fn sign_v2(
    key: &[u8],
    expiry: i64,
    nonce: &str,
    begin: &Begin<'_>,
) -> Result<String, hmac::digest::InvalidLength> {
    let mut content = String::new();
    for (name, map) in [
        ("connection_config", &begin.connection_config),
        ("authorization_params", &begin.authorization_params),
    ] {
        netstring(&mut content, name);
        netstring(&mut content, &map.len().to_string());
        for (key, value) in map {
            netstring(&mut content, key);
            netstring(&mut content, value);
        }
    }
    for (name, list) in [("scopes", &begin.scopes), ("user_scopes", &begin.user_scopes)] {
        netstring(&mut content, name);
        netstring(&mut content, &list.len().to_string());
        for item in list {
            netstring(&mut content, item);
        }
    }
    netstring(&mut content, "return_url");
    netstring(&mut content, begin.return_url);

    let (mut message, expiry) = (String::new(), expiry.to_string());
    let digest = hex::encode(Sha256::digest(&content));
    let ids = ["tokenwell-begin-v2", begin.project_id, begin.integration_id, begin.connection_id];
    ids.into_iter().chain([expiry.as_str(), &digest, nonce]).for_each(|field| netstring(&mut message, field));
    Ok(format!("t={expiry},n={nonce},v2={}", mac(key, &message)?))
}

fn mac(key: &[u8], message: &str) -> Result<String, hmac::digest::InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(message.as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

fn netstring(out: &mut String, field: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{}:{field},", field.len());
}

fn main() -> Result<(), hmac::digest::InvalidLength> {
    let key = b"0123456789abcdef0123456789abcdef";
    println!("{}", sign_v1(key, "zendesk", "user-1")?);
    let begin = Begin {
        project_id: "default",
        integration_id: "zendesk",
        connection_id: "user-1",
        connection_config: BTreeMap::from([("subdomain", "acme")]),
        authorization_params: BTreeMap::from([("login_hint", "zoë"), ("b", "2")]),
        scopes: vec!["read", "write"],
        return_url: "https://app.example.com/done",
        ..Begin::default()
    };
    println!("{}", sign_v2(key, 1_790_000_600, "n-1", &begin)?);
    Ok(())
}
