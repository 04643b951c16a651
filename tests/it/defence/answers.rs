//! What answers can hold at all, as the descriptors say.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use tokenwell::api::pb::DESCRIPTORS;

/// Fields that answers can have and that sound like secrets, each with why that is right.
const ALLOWED: [(&str, &str); 27] = [
    ("tokenwell.connection.v1.Connection.refresh_token_expire_time", "a time"),
    (
        "tokenwell.connection.v1.Connection.secret_config",
        "what an API call needs, with the permission for credentials",
    ),
    ("tokenwell.connection.v1.Credentials.api_key", "what Get is for"),
    ("tokenwell.connection.v1.ApiKeyCredentials.api_key", "what Get is for"),
    ("tokenwell.connection.v1.BasicCredentials.password", "what Get is for"),
    ("tokenwell.connection.v1.OAuth1Credentials.oauth_consumer_key", "a name"),
    ("tokenwell.connection.v1.OAuth1Credentials.oauth_token", "what Get is for"),
    (
        "tokenwell.connection.v1.OAuth1Credentials.oauth_token_secret",
        "what Get is for: OAuth 1.0a signs with it",
    ),
    ("tokenwell.connection.v1.OAuth2Credentials.access_token", "what Get is for"),
    ("tokenwell.connection.v1.OAuth2Credentials.token_type", "a word"),
    ("tokenwell.integration.v1.Integration.allow_private_addresses", "yes or no"),
    ("tokenwell.integration.v1.Integration.client_private_key", "input only"),
    ("tokenwell.integration.v1.Integration.client_private_key_id", "a name"),
    ("tokenwell.integration.v1.Integration.client_private_key_set", "yes or no"),
    ("tokenwell.integration.v1.Integration.client_secret", "input only"),
    ("tokenwell.integration.v1.Integration.client_secret_set", "yes or no"),
    ("tokenwell.integration.v1.Integration.further_client_secrets", "input only"),
    ("tokenwell.integration.v1.Integration.further_client_secrets_set", "a number"),
    ("tokenwell.project.v1.HmacSettings.keys", "input only"),
    ("tokenwell.project.v1.CreateApiKeyResponse.secret", "shown once"),
    ("tokenwell.project.v1.CreateResponse.secret", "shown once"),
    ("tokenwell.provider.v1.ConfigField.secret", "yes or no"),
    ("tokenwell.provider.v1.Provider.token_endpoint", "an address"),
    ("tokenwell.provider.v1.Provider.token_endpoint_auth_method", "a word"),
    ("tokenwell.webhook.v1.CreateResponse.secret", "shown once"),
    ("tokenwell.webhook.v1.RotateSecretResponse.secret", "shown once"),
    ("tokenwell.webhook.v1.Webhook.previous_secret_expire_time", "a time"),
];
/// What secrets are called.
const WORDS: [&str; 7] = ["secret", "token", "password", "private", "verifier", "credential", "key"];
/// Of these, what is none: pages, names, and the messages that hold the fields above.
const NONE: [&str; 8] =
    ["page_token", "next_page_token", "api_key_id", "api_keys", "credentials", "keys_set", "api_key", "key"];

/// The fields of a message and of all that it holds, by their full names.
fn fields(message: &MessageDescriptor, seen: &mut BTreeSet<String>, found: &mut BTreeSet<String>) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        found.insert(field.full_name().to_owned());
        if let Kind::Message(inner) = field.kind() {
            fields(&inner, seen, found);
        }
    }
}

#[test]
fn no_answer_has_a_place_for_a_refresh_token() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|service| service.full_name().starts_with("tokenwell."));
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    for method in ours.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        fields(&method.output(), &mut seen, &mut found);
    }
    assert!(found.len() > 100, "the descriptors have lost fields: {}", found.len());
    let name = |field: &str| field.rsplit('.').next().unwrap().to_owned();
    let sounds = |field: &&String| {
        let name = name(field);
        field.starts_with("tokenwell.") && WORDS.iter().any(|word| name.contains(word))
    };
    let messages_and_names =
        |field: &String| NONE.contains(&name(field).as_str()) && !field.ends_with("Credentials.api_key");
    let secrets: BTreeSet<_> =
        found.iter().filter(sounds).filter(|field| !messages_and_names(field)).map(String::as_str).collect();
    let allowed: BTreeSet<_> = ALLOWED.iter().map(|(field, _)| *field).collect();
    assert_eq!(secrets, allowed, "say why a new field is no refresh token, or take it out");
    let refresh = found.iter().filter(|field| field.contains("refresh_token"));
    assert!(refresh.into_iter().all(|field| field.ends_with("_expire_time")), "a refresh token is nobody's");
}
