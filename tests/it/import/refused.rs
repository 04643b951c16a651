//! What an Import refuses before anything happens, and what it heals.

use tokenwell::{
    api::pb::{
        connection::v1::{
            ImportClientCredentials, ImportCredentials, ImportOAuth2, ImportRequest, OAuth1Credentials,
            State, import_credentials::Kind,
        },
        project::v1::Permission,
        provider::v1::GrantType,
    },
    model::Duration,
};
use tonic::Code;

use super::{KEY, PROVEN, api_key, key_of, password, proving};
use crate::support::{
    Acme, TestResult,
    acme::{import, map, plain, sorted},
    assert_refused,
    steps::publishable_key,
};

const ALL: &str = r#"
grant_types = ["authorization_code", "client_credentials", "api_key", "basic"]
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;

fn oauth2(access_token: &str, refresh_token: &str) -> Kind {
    let (access_token, refresh_token) = (access_token.to_owned(), refresh_token.to_owned());
    Kind::Oauth2(ImportOAuth2 { access_token, refresh_token, ..ImportOAuth2::default() })
}

fn oauth1(token: &str, secret: &str) -> Kind {
    let (oauth_token, oauth_token_secret) = (token.to_owned(), secret.to_owned());
    Kind::Oauth1(OAuth1Credentials { oauth_token, oauth_token_secret, ..OAuth1Credentials::default() })
}

fn client(id: &str, secret: &str) -> Kind {
    let (client_id, client_secret) = (id.to_owned(), secret.to_owned());
    Kind::ClientCredentials(ImportClientCredentials { client_id, client_secret, scopes: Vec::new() })
}

#[tokio::test]
async fn malformed_credentials_are_named_and_not_stored() {
    let acme = Acme::new(plain(), ALL).await;
    let long = "x".repeat(16 * 1024 + 1);
    let control = "canary\u{7}canary";
    let scoped = |scope: &str| {
        let scopes = vec![scope.to_owned()];
        Kind::Oauth2(ImportOAuth2 { access_token: "at".to_owned(), scopes, ..ImportOAuth2::default() })
    };
    let typed = |token_type: &str| {
        let (access_token, token_type) = ("at".to_owned(), token_type.to_owned());
        Kind::Oauth2(ImportOAuth2 { access_token, token_type, ..ImportOAuth2::default() })
    };
    for (kind, field) in [
        (api_key(""), "credentials.api_key.api_key"),
        (api_key(control), "credentials.api_key.api_key"),
        (api_key("line\r\nbreak"), "credentials.api_key.api_key"),
        (api_key(&long), "credentials.api_key.api_key"),
        (password("", "canary"), "credentials.basic.username"),
        (password(control, ""), "credentials.basic.username"),
        (password("ada", control), "credentials.basic.password"),
        (password("ada", &long), "credentials.basic.password"),
        (oauth2("", ""), "credentials.oauth2"),
        (oauth2(control, ""), "credentials.oauth2.access_token"),
        (oauth2("", &long), "credentials.oauth2.refresh_token"),
        (scoped("two words"), "credentials.oauth2.scopes"),
        (typed(control), "credentials.oauth2.token_type"),
        (typed("two words"), "credentials.oauth2.token_type"),
        (typed(&long), "credentials.oauth2.token_type"),
        (client(control, "canary"), "credentials.client_credentials.client_id"),
        (client("id", ""), "credentials.client_credentials.client_secret"),
        (client("", "canary"), "credentials.client_credentials.client_id"),
        (client(&"x".repeat(1025), "canary"), "credentials.client_credentials.client_id"),
        (client("id", control), "credentials.client_credentials.client_secret"),
    ] {
        let refusal = assert_refused(acme.import(kind).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, [field]);
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }
    let none = [None, Some(ImportCredentials { kind: None })];
    for credentials in none {
        let request = ImportRequest { credentials, ..import(api_key(KEY)) };
        let refused = acme.import_with(request).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["credentials"]);
    }
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    assert_eq!(acme.token_requests(), [], "nothing was sent anywhere");
    // What is as long as it may be is taken.
    acme.import(api_key(&long[1..])).await.unwrap();
}

#[tokio::test]
async fn malformed_oauth1_tokens_are_named() {
    let entry = "grant_types = [\"oauth1\"]\nrequest_token_endpoint = \"PROVIDER/r\"\n\
                 authorization_endpoint = \"PROVIDER/a\"\ntoken_endpoint = \"PROVIDER/t\"";
    let acme = Acme::new(plain(), entry).await;
    for (kind, field) in [
        (oauth1("", "s"), "credentials.oauth1.oauth_token"),
        (oauth1("t", ""), "credentials.oauth1.oauth_token_secret"),
        (oauth1("t", "a\nb"), "credentials.oauth1.oauth_token_secret"),
    ] {
        let refusal = assert_refused(acme.import(kind).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, [field]);
    }
}

#[tokio::test]
async fn config_is_checked_as_for_a_begin() -> TestResult {
    let entry = "grant_types = [\"api_key\"]\n[config.site]\ntitle = \"Site\"\nformat = \"label\"\n\
                 example = \"anvils\"\nrequired = true";
    let acme = Acme::new(plain(), entry).await;
    let with =
        |config: &[(&str, &str)]| ImportRequest { connection_config: map(config), ..import(api_key(KEY)) };
    for (config, field) in [
        (&[][..], "connection_config.site"),
        (&[("site", "no/label")], "connection_config.site"),
        (&[("site", "anvils"), ("other", "x")], "connection_config.other"),
    ] {
        let refused = acme.import_with(with(config)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        assert_eq!(refusal.fields, [field]);
    }
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    acme.import_with(with(&[("site", "anvils")])).await?;
    assert_eq!(acme.config().await, sorted(&[("site", "anvils")]));
    Ok(())
}

#[tokio::test]
async fn a_way_that_the_provider_does_not_offer_is_refused() -> TestResult {
    let keys = Acme::new(plain(), "grant_types = [\"api_key\"]").await;
    let flows = Acme::new(
        plain(),
        "authorization_endpoint = \"PROVIDER/authorize\"\ntoken_endpoint = \"PROVIDER/token\"",
    )
    .await;
    let begun = keys.begin(&[]).await;
    let refusal = assert_refused(begun, Code::FailedPrecondition, "GRANT_TYPE_UNSUPPORTED");
    assert_eq!(refusal.metadata["provider_id"], "acme");
    assert!(refusal.message.contains("api_key"), "{}", refusal.message);
    for kind in [password("ada", "pw"), oauth2("at", "rt"), oauth1("t", "s"), client("", "")] {
        let refused = keys.import(kind).await;
        assert_refused(refused, Code::FailedPrecondition, "GRANT_TYPE_UNSUPPORTED");
    }
    for kind in [api_key(KEY), password("ada", "pw"), oauth1("t", "s"), client("", "")] {
        let refused = flows.import(kind).await;
        assert_refused(refused, Code::FailedPrecondition, "GRANT_TYPE_UNSUPPORTED");
    }
    for acme in [&keys, &flows] {
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
        assert_eq!(acme.token_requests(), []);
    }
    keys.import(api_key(KEY)).await?;
    flows.import(oauth2("at", "rt")).await?;
    Ok(())
}

#[tokio::test]
async fn only_a_key_that_may_write_imports() -> TestResult {
    let acme = Acme::new(proving(), PROVEN).await;
    let others = [
        Permission::Begin,
        Permission::Complete,
        Permission::Read,
        Permission::ReadCredentials,
        Permission::Integrations,
    ];
    let (_, reader) = acme.server.create_key(&others).await;
    for key in [reader, publishable_key(&acme.server).await] {
        let refused = acme.server.connection(&key).import(import(api_key(KEY))).await;
        assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
    }
    assert_eq!(acme.count("/me"), 0);
    let (_, writer) = acme.server.create_key(&[Permission::Write]).await;
    acme.server.connection(&writer).import(import(api_key(KEY))).await?;
    assert_eq!(key_of(&acme.get().await?), KEY);
    Ok(())
}

#[tokio::test]
async fn an_import_heals_a_connection_whose_grant_is_gone() -> TestResult {
    let acme = Acme::new(plain(), ALL).await;
    acme.connect(&[]).await;
    acme.provider.sandbox.revoke_all();
    acme.clock.advance(Duration::hours(2));
    assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(acme.basic().await?.state(), State::NeedsReauthorization);

    let healed = acme.import(api_key(KEY)).await?;
    assert_eq!((healed.state(), healed.grant_type()), (State::Active, GrantType::ApiKey));
    assert!(healed.granted_scopes.is_empty(), "a key has no scopes");
    assert_eq!(key_of(&acme.get().await?), KEY);
    // The old refresh token is not tried any more.
    let asked = acme.token_requests().len();
    assert_refused(acme.force().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(acme.token_requests().len(), asked);

    // And back: a flow takes the place of a key.
    acme.connect(&[]).await;
    assert_eq!(acme.basic().await?.grant_type(), GrantType::AuthorizationCode);
    acme.token().await?;
    let kind = acme.get().await?.credentials.unwrap().kind;
    assert!(!format!("{kind:?}").contains(KEY));
    Ok(())
}
