//! `ProviderService`: the catalog as callers see it.

use tokenwell::{
    api::pb::provider::v1::{GetRequest, ListRequest},
    provider::Catalog,
};
use tonic::Code;

use crate::support::{Database, ManualClock, Options, TestResult, TestServer, assert_refused};

fn get(provider_id: &str) -> GetRequest {
    GetRequest { provider_id: provider_id.to_owned() }
}

fn list(page_size: i32, page_token: &str) -> ListRequest {
    ListRequest { page_size, page_token: page_token.to_owned() }
}

async fn server() -> (TestServer, Database) {
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::new(&ManualClock::new())).await;
    (server, database)
}

#[tokio::test]
async fn a_provider_says_what_a_begin_must_give() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.provider(&server.key);
    let zendesk = client.get(get("zendesk")).await?.into_inner().provider.unwrap();
    assert_eq!((zendesk.provider_id.as_str(), zendesk.display_name.as_str()), ("zendesk", "Zendesk"));
    assert_eq!(zendesk.categories, ["support"]);
    assert_eq!(zendesk.default_scopes, ["read"]);
    assert_eq!(zendesk.authorization_endpoint, "https://{subdomain}.zendesk.com/oauth/authorizations/new");
    assert_eq!(zendesk.token_endpoint, "https://{subdomain}.zendesk.com/oauth/tokens");
    assert!(zendesk.documentation_url.starts_with("https://developer.zendesk.com/"));
    assert!(zendesk.pkce);
    let [subdomain] = &zendesk.config_fields[..] else { panic!("{:?}", zendesk.config_fields) };
    assert_eq!((subdomain.name.as_str(), subdomain.example.as_str()), ("subdomain", "acme"));
    assert!(!subdomain.title.is_empty() && !subdomain.description.is_empty());
    assert!(subdomain.required && subdomain.settable && !subdomain.captured);
    let pattern = regex::Regex::new(&format!("^(?:{})$", subdomain.pattern))?;
    assert!(pattern.is_match("acme") && !pattern.is_match("acme.evil") && !pattern.is_match(""));
    Ok(())
}

#[tokio::test]
async fn choices_and_captured_fields_are_told_apart() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.provider(&server.key);
    let salesforce = client.get(get("salesforce")).await?.into_inner().provider.unwrap();
    let captured = salesforce.config_fields.iter().find(|field| field.name == "instance_url").unwrap();
    assert!(captured.captured && !captured.settable && !captured.required);
    let mut with_choices = Vec::new();
    for id in ["salesforce", "zoho", "qualtrics"] {
        let provider = client.get(get(id)).await?.into_inner().provider.unwrap();
        with_choices.extend(provider.config_fields.into_iter().filter(|field| !field.choices.is_empty()));
    }
    assert!(!with_choices.is_empty(), "no provider has a choice");
    for field in with_choices {
        assert!(field.choices.iter().all(|choice| !choice.value.is_empty() && !choice.title.is_empty()));
        let default = &field.default_value;
        assert!(default.is_empty() || field.choices.iter().any(|choice| choice.value == *default));
    }
    Ok(())
}

#[tokio::test]
async fn lists_go_page_by_page_by_id() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.provider(&server.key);
    let first = client.list(list(0, "")).await?.into_inner();
    assert_eq!((first.providers.len(), first.next_page_token.is_empty()), (100, false));
    let whole: Vec<_> = Catalog::built_in().unwrap().iter().map(|it| it.id().to_string()).collect();
    assert!(whole.len() >= 200 && whole.is_sorted(), "{whole:?}");
    for page_size in [7, 100, 500] {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = client.list(list(page_size, &token)).await?.into_inner();
            assert!((1..=usize::try_from(page_size)?).contains(&page.providers.len()));
            ids.extend(page.providers.into_iter().map(|it| it.provider_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(ids, whole, "{page_size} a page");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_catalog_has_not_is_refused() {
    let (server, _database) = server().await;
    let mut client = server.provider(&server.key);
    let refusal = assert_refused(client.get(get("nowhere")).await, Code::NotFound, "PROVIDER_NOT_FOUND");
    assert_eq!(refusal.metadata["provider_id"], "nowhere");
    for malformed in ["", "Zendesk", "../zendesk", "zendesk.toml", "a:b"] {
        let refusal =
            assert_refused(client.get(get(malformed)).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["provider_id"], "{malformed}");
    }
    let refusal = assert_refused(client.list(list(-1, "")).await, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["page_size"]);
    assert_refused(client.list(list(1, "AAAA")).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
}
