//! What token requests are like: their method and format, further parameters and headers, alternative addresses.

use serde_json::json;
use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        connection::v1::{ImportClientCredentials, import_credentials::Kind},
    },
    model::Duration,
    sandbox::{AuthMethod, Quirks, RequestFormat, RequestQuirks},
};
use tonic::Code;
use url::Url;

use super::ENTRY;
use crate::support::{
    Acme, TestResult,
    acme::{beginning, plain},
    assert_refused,
    provider::{CLIENT_ID, CLIENT_SECRET},
    steps::{param, params, works},
};

const SITE: &str = "[config.site]\ntitle = \"Site\"\nformat = \"label\"\nexample = \"anvils\"\n";

#[tokio::test]
async fn every_format_carries_the_secret_once() -> TestResult {
    let formats = [
        (RequestFormat::Form, "", Some("application/x-www-form-urlencoded")),
        (RequestFormat::Json, "token_request_format = \"json\"\n", Some("application/json")),
        (RequestFormat::Query, "token_request_method = \"GET\"\n", None),
    ];
    let methods = [(AuthMethod::Post, "client_secret_post"), (AuthMethod::Basic, "client_secret_basic")];
    for (format, line, content_type) in formats {
        for (method, name) in methods {
            let token_request = RequestQuirks { format, ..RequestQuirks::default() };
            let quirks = Quirks { token_request, auth_methods: vec![method], ..plain() };
            let entry = format!("{ENTRY}{line}token_endpoint_auth_method = \"{name}\"");
            let acme = Acme::new(quirks, &entry).await;
            acme.connect(&[]).await;
            acme.force().await?;
            assert_eq!(acme.token_requests().len(), 2, "{format:?} {name}");
            for request in acme.token_requests() {
                assert_eq!(request.content_type.as_deref(), content_type, "{format:?} {name}");
                assert_eq!(request.method, if format == RequestFormat::Query { "GET" } else { "POST" });
                let in_params = request.form.get("client_secret").map(String::as_str);
                let basic = method == AuthMethod::Basic;
                assert_eq!(in_params, (!basic).then_some(CLIENT_SECRET), "{format:?} {name}");
                assert_eq!(request.authorization.is_some(), basic, "{format:?} {name}");
                let id = request.form.get("client_id").map(String::as_str);
                assert!(id.is_none_or(|id| id == CLIENT_ID), "{format:?} {name}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn parameters_and_headers_whose_fields_have_no_value_are_left_out() -> TestResult {
    let entry = format!(
        "{ENTRY}authorization_params = {{ audience = \"{{site}}.acme\", prompt = \"consent\" }}\n\
         token_params = {{ audience = \"{{site}}\", kind = \"web\" }}\n\
         refresh_params = {{ audience = \"{{site}}\", kind = \"again\" }}\n\
         token_headers = {{ x-site = \"at {{site}}\", x-app = \"tokenwell\" }}\n{SITE}"
    );
    let acme = Acme::new(plain(), &entry).await;
    let page = Url::parse(&acme.begin(&[]).await?.authorization_url)?;
    assert_eq!((params(&page, "audience"), param(&page, "prompt").as_str()), (vec![], "consent"));
    acme.connect(&[]).await;
    acme.force().await?;
    let page = Url::parse(&acme.begin(&[("site", "anvils")]).await?.authorization_url)?;
    assert_eq!(param(&page, "audience"), "anvils.acme");
    acme.connect(&[("site", "anvils")]).await;
    acme.force().await?;

    let requests = acme.token_requests();
    let told: Vec<_> = requests
        .iter()
        .map(|it| {
            let audience = it.form.get("audience").map(String::as_str);
            let site = it.headers.get("x-site").map(String::as_str);
            (it.form["kind"].as_str(), audience, site, it.headers["x-app"].as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("web", None, None, "tokenwell"),
            ("again", None, None, "tokenwell"),
            ("web", Some("anvils"), Some("at anvils"), "tokenwell"),
            ("again", Some("anvils"), Some("at anvils"), "tokenwell"),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_grant_type_of_the_entrys_own_replaces_the_usual_one() -> TestResult {
    let pair = |value: &str| vec![("grant_type".to_owned(), value.to_owned())];
    let token_request = RequestQuirks {
        code_params: pair("code"),
        refresh_params: pair("renew"),
        client_credentials_params: pair("account"),
        ..RequestQuirks::default()
    };
    let quirks = Quirks { token_request, client_credentials: true, ..plain() };
    let entry = format!(
        "grant_types = [\"authorization_code\", \"client_credentials\"]{ENTRY}\
         token_params = {{ grant_type = \"code\" }}\nrefresh_params = {{ grant_type = \"renew\" }}\n\
         client_credentials_params = {{ grant_type = \"account\" }}\n"
    );
    let acme = Acme::new(quirks, &entry).await;
    acme.connect(&[]).await;
    acme.force().await?;
    acme.import(Kind::ClientCredentials(ImportClientCredentials::default())).await?;
    let grants: Vec<_> = acme.token_requests().into_iter().map(|it| it.form["grant_type"].clone()).collect();
    assert_eq!(grants, ["code", "renew", "account"]);
    Ok(())
}

#[tokio::test]
async fn of_several_addresses_the_first_that_can_be_filled_is_used() -> TestResult {
    let entry = format!(
        "authorization_endpoint = [\"PROVIDER/{{site}}/authorize\", \"PROVIDER/authorize\"]\n\
         token_endpoint = [\"PROVIDER/{{site}}/token\", \"PROVIDER/token\"]\n\
         refresh_endpoint = [\"PROVIDER/{{site}}/refresh\", \"PROVIDER/token\"]\n{SITE}"
    );
    let acme = Acme::new(plain(), &entry).await;
    acme.connect(&[]).await;
    assert!(works(&acme.provider, &acme.token().await?).await);
    let page = Url::parse(&acme.begin(&[("site", "anvils")]).await?.authorization_url)?;
    assert_eq!(page.path(), "/anvils/authorize");

    // The site of a connection may come later: its next refresh goes there.
    let answer = |token: &str| json!({ "access_token": token, "refresh_token": "r", "expires_in": 3600 });
    acme.detour.answer("/anvils/refresh", 200, &answer("of the site").to_string());
    acme.update_config(&[("site", "anvils")]).await?;
    acme.clock.advance(Duration::hours(1));
    assert_eq!(acme.token().await?, "of the site");
    acme.detour.answer("/anvils/refresh", 500, "{}");
    acme.update_config(&[("site", "")]).await?;
    acme.clock.advance(Duration::hours(1));
    acme.answer_next(&answer("of all").to_string());
    assert_eq!(acme.token().await?, "of all");
    Ok(())
}

#[tokio::test]
async fn parameters_have_the_providers_names() -> TestResult {
    let names = [("client_id", "client_key"), ("client_secret", "secret_key"), ("scope", "")];
    let param_names = names.iter().map(|(name, own)| ((*name).to_owned(), (*own).to_owned())).collect();
    let quirks = Quirks { param_names, auth_methods: vec![AuthMethod::Post], ..plain() };
    let entry = format!(
        "{ENTRY}default_scopes = [\"read\"]\n\
         param_names = {{ client_id = \"client_key\", client_secret = \"secret_key\", scope = \"\" }}\n"
    );
    let acme = Acme::new(quirks, &entry).await;
    let page = Url::parse(&acme.begin(&[]).await?.authorization_url)?;
    assert_eq!(param(&page, "client_key"), CLIENT_ID);
    assert!(params(&page, "client_id").is_empty() && params(&page, "scope").is_empty(), "{page}");
    acme.connect(&[]).await;
    acme.force().await?;
    for request in acme.token_requests() {
        assert_eq!(
            (request.form["client_key"].as_str(), request.form["secret_key"].as_str()),
            (CLIENT_ID, CLIENT_SECRET)
        );
        let usual = ["client_id", "client_secret", "scope"];
        assert!(usual.iter().all(|name| !request.form.contains_key(*name)), "{request:?}");
    }
    Ok(())
}

/// With one of these a browser could bring the token of somebody else's flow.
#[tokio::test]
async fn parameters_of_oauth_1_are_not_the_callers_to_choose() {
    let acme = Acme::new(plain(), ENTRY).await;
    for name in ["oauth_token", "oauth_callback", "OAuth_Verifier"] {
        let params = [(name.to_owned(), "theirs".to_owned())].into();
        let request = BeginRequest { authorization_params: params, ..beginning(&[]) };
        let refused = acme.server.begin(request).await;
        assert_refused(refused, Code::InvalidArgument, "AUTHORIZATION_PARAM_RESERVED");
    }
}

/// RFC 6749, section 3.3: what is granted may differ from what was asked for, and is not what is asked for again.
#[tokio::test]
async fn a_client_asks_again_for_the_scopes_that_it_asked_for() -> TestResult {
    let quirks = Quirks { client_credentials: true, ..plain() };
    let entry = format!("{ENTRY}grant_types = [\"client_credentials\"]\n");
    let acme = Acme::new(quirks, &entry).await;
    let answer = |token: &str| format!(r#"{{"access_token":"{token}","expires_in":3600,"scope":"CXS"}}"#);
    acme.answer_next(&answer("at-1"));
    let imported = acme.import(Kind::ClientCredentials(ImportClientCredentials::default())).await?;
    assert_eq!(imported.granted_scopes, ["CXS"]);
    let asked = acme.last_request().form.get("scope").cloned();
    acme.clock.advance(Duration::hours(1));
    acme.answer_next(&answer("at-2"));
    assert_eq!(acme.token().await?, "at-2");
    assert_eq!(acme.last_request().form.get("scope").cloned(), asked);
    Ok(())
}
