//! The query of a frontend's connect link.

use url::form_urlencoded;

use crate::{
    api::FrontendBegin,
    model::{KeyKind, StringMap},
    provider::MAX_QUERY_BYTES,
};

/// Says that a browser has been given a cookie and sent to the same address again.
const AGAIN: &str = "tokenwell_again";

/// Reads `public_key`, `connection_id`, `hmac`, `params[k]`, `authorization_params[k]`, `user_scope` and `return_url`.
/// Anything else, and anything twice, is refused by name.
pub(super) fn read(integration_id: String, query: &str) -> Result<FrontendBegin, String> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(format!("the link has more than {MAX_QUERY_BYTES} bytes of parameters"));
    }
    let mut given = StringMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        if given.insert(name.clone(), value).is_some() {
            return Err(format!("the parameter `{}` is given twice", shown(&name)));
        }
    }
    let mut take = |name: &str| given.remove(name).unwrap_or_default();
    let public_key = take("public_key").trim().to_owned();
    if public_key.starts_with(KeyKind::Secret.prefix()) {
        return Err("the link holds a secret key: use a publishable one, and revoke that key".to_owned());
    }
    let [connection_id, signature, return_url] = ["connection_id", "hmac", "return_url"].map(&mut take);
    let user_scopes = take("user_scope");
    take(AGAIN);
    let connection_config = take_map(&mut given, "params[");
    let authorization_params = take_map(&mut given, "authorization_params[");
    if let Some(name) = given.keys().next() {
        return Err(format!("the parameter `{}` is not known", shown(name)));
    }
    Ok(FrontendBegin {
        public_key: public_key.into(),
        integration_id,
        connection_id,
        connection_config,
        authorization_params,
        user_scopes: user_scopes.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        signature,
        return_url,
    })
}

/// The same address once more, relative to itself: who stands before the gateway may have put something before its path.
pub(super) fn again(query: &str) -> String {
    let joint = if query.is_empty() { "" } else { "&" };
    format!("?{query}{joint}{AGAIN}=1")
}

/// Whether a browser comes from there.
pub(super) fn came_again(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == AGAIN)
}

fn take_map(given: &mut StringMap, prefix: &str) -> StringMap {
    let inner = |name: &str| Some(name.strip_prefix(prefix)?.strip_suffix(']')?.to_owned());
    let taken = given.extract_if(.., |name, _| inner(name).is_some());
    let taken: StringMap = taken.filter_map(|(name, value)| Some((inner(&name)?, value))).collect();
    taken
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_whole() {
        let query = "public_key=tw_pk_x&connection_id=u%3A1&hmac=ab&params[subdomain]=acme&authorization_params%5Bprompt%5D=login&user_scope=a,b&return_url=https%3A%2F%2Fx";
        let begin = read("zendesk".to_owned(), query).map(|it| {
            (
                it.connection_id,
                it.signature,
                it.connection_config,
                it.authorization_params,
                it.user_scopes,
                it.return_url,
            )
        });
        let map = |key: &str, value: &str| StringMap::from([(key.to_owned(), value.to_owned())]);
        let expected = (
            "u:1".to_owned(),
            "ab".to_owned(),
            map("subdomain", "acme"),
            map("prompt", "login"),
            vec!["a".to_owned(), "b".to_owned()],
            "https://x".to_owned(),
        );
        assert_eq!(begin, Ok(expected));
    }

    #[test]
    fn what_is_unknown_or_given_twice_is_refused() {
        for bad in ["x=1", "connection_id=a&connection_id=b", "params[a=1", "params[a]=1&params%5Ba%5D=2"] {
            assert!(read(String::new(), bad).is_err(), "{bad}");
        }
    }
}
