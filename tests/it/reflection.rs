//! Reflection and health as a developer's tools use them: `buf curl` without any schema, and both versions of reflection.

use std::{path::Path, process::Command};

use base64::Engine as _;
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::TestServer;

/// What a server serves, beside reflection itself.
const SERVICES: [&str; 7] = [
    "grpc.health.v1.Health",
    "tokenwell.auth.v1.AuthService",
    "tokenwell.connection.v1.ConnectionService",
    "tokenwell.integration.v1.IntegrationService",
    "tokenwell.project.v1.ProjectService",
    "tokenwell.provider.v1.ProviderService",
    "tokenwell.webhook.v1.WebhookService",
];

/// What a run of `buf curl` came to.
struct Curl {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `buf curl` on a path of the server.
async fn curl(server: &TestServer, path: &str, arguments: &[&str]) -> Curl {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/node_modules/.bin/buf");
    let mut command = Command::new(program);
    command.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"]).args(arguments);
    command.arg(format!("http://{}{path}", server.addresses.grpc));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("buf is missing: run scripts/setup");
    Curl {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Curl {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    fn lines(&self) -> Vec<&str> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout.lines().collect()
    }
}

#[tokio::test]
async fn tools_list_services_and_methods() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let services = curl(&server, "", &["--list-services"]).await;
    for service in SERVICES {
        assert!(services.lines().contains(&service), "{service} is not in {}", services.stdout);
    }
    let methods = curl(&server, "", &["--list-methods"]).await;
    for method in [
        "tokenwell.auth.v1.AuthService/Begin",
        "tokenwell.auth.v1.AuthService/Complete",
        "tokenwell.connection.v1.ConnectionService/Get",
        "tokenwell.connection.v1.ConnectionService/UpdateMetadata",
        "tokenwell.connection.v1.ConnectionService/Watch",
        "tokenwell.integration.v1.IntegrationService/Create",
        "tokenwell.project.v1.ProjectService/UpdateSettings",
        "tokenwell.provider.v1.ProviderService/List",
        "grpc.health.v1.Health/Check",
    ] {
        assert!(methods.lines().contains(&method), "{method} is not in {}", methods.stdout);
    }
}

#[tokio::test]
async fn tools_call_without_a_schema() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let header = format!("authorization: Bearer {}", server.key);
    for protocol in ["grpc-v1", "grpc-v1alpha"] {
        let arguments = ["--reflect-protocol", protocol, "-H", &header, "-d"];

        let request = json!({ "integrationId": "sandbox", "connectionId": "ada" }).to_string();
        let with_ids = [&arguments[..], &[&request]].concat();
        let begun = curl(&server, "/tokenwell.auth.v1.AuthService/Begin", &with_ids).await.json();
        assert_eq!(begun["connectionId"], "ada");
        let connect_url = begun["connectUrl"].as_str().unwrap();
        assert!(
            connect_url.starts_with(&format!("{}/oauth/connect/flows/", server.gateway())),
            "{connect_url}"
        );
        assert!(begun["expireTime"].as_str().unwrap().ends_with('Z'));

        let list = [&arguments[..], &["{}"]].concat();
        let listed = curl(&server, "/tokenwell.provider.v1.ProviderService/List", &list).await.json();
        let ids = listed["providers"].as_array().unwrap().iter().map(|it| it["providerId"].as_str().unwrap());
        let ids: Vec<_> = ids.collect();
        assert!(ids.len() == 100 && ids.is_sorted() && listed["nextPageToken"] != "", "{ids:?}");
    }
}

#[tokio::test]
async fn tools_check_health_without_a_key() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for service in ["", "tokenwell.auth.v1.AuthService", "tokenwell.connection.v1.ConnectionService"] {
        let request = json!({ "service": service }).to_string();
        let health = curl(&server, "/grpc.health.v1.Health/Check", &["-d", &request]).await;
        assert_eq!(health.json(), json!({ "status": "SERVING" }), "{service}");
    }
    let unknown = curl(&server, "/grpc.health.v1.Health/Check", &["-d", r#"{"service":"no.Such"}"#]).await;
    assert_eq!(unknown.code, 8 * 5, "{}", unknown.stderr);
}

/// A tool that knows nothing of Tokenwell still shows why a call failed. `buf` exits with 8 times the gRPC code.
#[tokio::test]
async fn tools_show_the_reason_of_an_error() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let path = "/tokenwell.connection.v1.ConnectionService/Get";
    let request = json!({ "integrationId": "sandbox", "connectionId": "nobody" }).to_string();

    let no_key = curl(&server, path, &["-d", &request]).await;
    assert_eq!((no_key.code, reason(&no_key).as_str()), (8 * 16, "API_KEY_MISSING"));

    let header = format!("authorization: Bearer {}", server.key);
    let no_connection = curl(&server, path, &["-H", &header, "-d", &request]).await;
    assert_eq!((no_connection.code, reason(&no_connection).as_str()), (8 * 5, "CONNECTION_NOT_FOUND"));
    assert!(!no_connection.stderr.contains(&server.key));
}

/// The reason in the `google.rpc.ErrorInfo` of an error that `buf curl` printed.
fn reason(curl: &Curl) -> String {
    let error: Value = serde_json::from_str(&curl.stderr).expect(&curl.stderr);
    let details = error["details"].as_array().expect(&curl.stderr);
    let info = details.iter().find(|it| it["type"] == "google.rpc.ErrorInfo").expect(&curl.stderr);
    if let Some(reason) = info["debug"]["reason"].as_str() {
        assert_eq!(info["debug"]["domain"], "tokenwell.dev");
        return reason.to_owned();
    }
    let bytes = info["value"].as_str().unwrap().trim_end_matches('=');
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(bytes).unwrap();
    // ErrorInfo is `string reason = 1; string domain = 2; ...`.
    let length = usize::from(bytes[1]);
    assert_eq!((bytes[0], bytes[2 + length]), (0x0a, 0x12));
    assert!(String::from_utf8_lossy(&bytes[2 + length..]).contains("tokenwell.dev"));
    String::from_utf8(bytes[2..2 + length].to_vec()).unwrap()
}

#[tokio::test]
async fn both_versions_of_reflection_list_the_services() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = Endpoint::from_shared(format!("http://{}", server.addresses.grpc)).unwrap().connect_lazy();

    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("no list of services: {answer:?}")
    };
    assert_lists_services(listed.service.into_iter().map(|it| it.name));

    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("no list of services: {answer:?}")
    };
    assert_lists_services(listed.service.into_iter().map(|it| it.name));
}

fn assert_lists_services(names: impl Iterator<Item = String>) {
    let names: Vec<_> = names.collect();
    for service in SERVICES {
        assert!(names.iter().any(|name| name == service), "{service} is not in {names:?}");
    }
}
