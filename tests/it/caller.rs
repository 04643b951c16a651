//! Who may call what: every method of every service, with every kind of key that is not enough.
//!
//! The methods come from the descriptors, and the permission that each needs from its documentation there, so that a new
//! method cannot be forgotten and no table is compared with itself.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::Duration as PbDuration;
use tokenwell::api::{
    layer::key::PERMISSIONS,
    pb::{
        DESCRIPTORS,
        connection::v1::{GetRequest, View},
        project::v1::{ApiKeyKind, Permission, RevokeApiKeyRequest},
    },
};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};

use crate::support::{TestResult, TestServer, assert_refused, server::get};

pub const ALL: [Permission; 8] = [
    Permission::Begin,
    Permission::Complete,
    Permission::Read,
    Permission::ReadCredentials,
    Permission::Write,
    Permission::Integrations,
    Permission::ProjectAdmin,
    Permission::InstanceAdmin,
];

/// Messages as they are on the wire.
#[derive(Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

pub fn channel(server: &TestServer) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.addresses.grpc)).unwrap().connect_lazy()
}

/// Calls a method with an empty message and this `authorization` header.
async fn call(channel: &Channel, path: &str, authorization: Option<&str>) -> Result<Bytes, Status> {
    let mut request = Request::new(Bytes::new());
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(value).unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    // A stream's first message is enough; a unary call has no other.
    let mut answer = client.server_streaming(request, path, Raw).await?.into_inner();
    Ok(answer.message().await?.expect("the call was answered with nothing"))
}

async fn call_with(channel: &Channel, path: &str, key: &str) -> Result<Bytes, Status> {
    call(channel, path, Some(&format!("Bearer {key}"))).await
}

pub fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|service| service.full_name().starts_with("tokenwell."));
    let methods: Vec<_> = ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(methods.len() >= 27, "the descriptors have lost methods");
    methods
}

pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The permission that a method is documented to need: its own, or that of every method of its service. Of a method that
/// needs more for more, the least.
pub fn documented(method: &MethodDescriptor) -> Permission {
    let own = comment(method, method.path());
    let service = comment(method, method.parent_service().path());
    let line = own.split_once("Permission: ").or_else(|| service.split_once("Permission of every method: "));
    let (_, rest) = line.unwrap_or_else(|| panic!("{} does not say who may call it", method.full_name()));
    let sentence = rest.split(['.', ';']).next().unwrap();
    let name = sentence.rsplit('`').find(|word| word.starts_with("PERMISSION_"));
    let name = name.unwrap_or_else(|| panic!("{} names no permission", method.full_name()));
    Permission::from_str_name(name).unwrap_or_else(|| panic!("{name} is none"))
}

fn comment(method: &MethodDescriptor, path: &[i32]) -> String {
    let file = method.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref().unwrap();
    let location = info.location.iter().find(|location| location.path == path);
    location
        .map(|it| it.leading_comments().split_whitespace().collect::<Vec<_>>().join(" "))
        .unwrap_or_default()
}

/// The name in the refusal: `PERMISSION_READ_CREDENTIALS` is `read_credentials`.
fn short(permission: Permission) -> String {
    permission.as_str_name().trim_start_matches("PERMISSION_").to_ascii_lowercase()
}

#[test]
fn the_table_of_permissions_has_exactly_the_methods_of_the_descriptors() {
    let mut described: Vec<_> =
        methods().iter().map(|method| (path(method), short(documented(method)))).collect();
    let mut listed: Vec<_> = PERMISSIONS
        .iter()
        .map(|(path, permission)| ((*path).to_owned(), permission.as_str().to_owned()))
        .collect();
    described.sort();
    listed.sort();
    assert_eq!(listed, described);
}

#[tokio::test]
async fn no_method_can_be_called_without_a_key() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = channel(&server);
    let basic = format!("Basic {}", server.key);
    for method in methods() {
        for authorization in [None, Some("Bearer"), Some(&*server.key), Some(&*basic)] {
            let refused = call(&channel, &path(&method), authorization).await;
            assert_refused(refused, Code::Unauthenticated, "API_KEY_MISSING");
        }
    }
    let refused = call(&channel, "/tokenwell.connection.v1.ConnectionService/Nothing", None).await;
    assert_refused(refused, Code::Unauthenticated, "API_KEY_MISSING");
}

#[tokio::test]
async fn no_method_can_be_called_with_a_key_that_does_not_count() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = channel(&server);
    let (revoked, revoked_secret) = server.create_key(&ALL).await;
    let request = RevokeApiKeyRequest { api_key_id: revoked.api_key_id };
    server.project(&server.key).revoke_api_key(request).await?;
    let unknown = format!("tw_sk_{}", "A".repeat(43));
    let longer = format!("{}A", server.key);
    let public = server.key.replace("tw_sk_", "tw_pk_");
    let keys = ["nonsense", "", "tw_sk_", &unknown, &longer, &public, &server.key[..40], &revoked_secret];
    for method in methods() {
        for key in keys {
            let refused = call_with(&channel, &path(&method), key).await;
            assert_refused(refused, Code::Unauthenticated, "API_KEY_INVALID");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_permission_but_the_right_one_is_not_enough() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = channel(&server);
    for needed in ALL {
        let others: Vec<_> = ALL.into_iter().filter(|permission| *permission != needed).collect();
        let (_, key) = server.create_key(&others).await;
        for method in methods().iter().filter(|method| documented(method) == needed) {
            let refused = call_with(&channel, &path(method), &key).await;
            let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
            assert_eq!(refusal.metadata["permission"], short(needed), "{}", method.full_name());
        }
    }
}

#[tokio::test]
async fn the_right_permission_alone_is_enough() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = channel(&server);
    for needed in ALL {
        let (_, key) = server.create_key(&[needed]).await;
        for method in methods().iter().filter(|method| documented(method) == needed) {
            // An empty message is an answer or a bad field, but no question of who calls.
            if let Err(status) = call_with(&channel, &path(method), &key).await {
                assert_refused(Err::<(), _>(status), Code::InvalidArgument, "FIELD_INVALID");
            }
        }
    }
}

#[tokio::test]
async fn a_publishable_key_can_begin_and_nothing_else() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = channel(&server);
    let (_, key) = server.create_key_of(&server.key, ApiKeyKind::Publishable, &[Permission::Begin]).await;
    for method in methods() {
        let answer = call_with(&channel, &path(&method), &key).await;
        if method.full_name() == "tokenwell.auth.v1.AuthService.Begin" {
            assert_refused(answer, Code::InvalidArgument, "FIELD_INVALID");
        } else {
            assert_refused(answer, Code::PermissionDenied, "PERMISSION_MISSING");
        }
    }
    let mut client = server.auth(&key);
    client.begin(crate::support::server::begin("sandbox", "user-1")).await.unwrap();
}

#[tokio::test]
async fn credentials_take_a_permission_of_their_own() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let (_, reader) = server.create_key(&[Permission::Read]).await;
    let (_, both) = server.create_key(&[Permission::Read, Permission::ReadCredentials]).await;
    let request = |view: i32| GetRequest {
        view,
        force_refresh: true,
        min_ttl: Some(PbDuration { seconds: 3600, nanos: 0 }),
        ..get("sandbox", "user-1")
    };
    for view in [View::Unspecified.into(), View::Full.into(), 77] {
        let refused = server.connection(&reader).get(request(view)).await;
        let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
        assert_eq!(refusal.metadata["permission"], "read_credentials");
    }
    assert_eq!(provider.sandbox.book().refreshes, 0);
    server.connection(&reader).get(request(View::Basic.into())).await?;
    server.connection(&both).get(request(View::Full.into())).await?;
    Ok(())
}

#[tokio::test]
async fn a_method_that_is_in_no_proto_is_unimplemented() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let channel = channel(&server);
    for path in ["/tokenwell.connection.v1.ConnectionService/Nothing", "/tokenwell.nothing.v1.Nothing/Get"] {
        let status = call_with(&channel, path, &server.key).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn health_and_reflection_need_no_key() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut health = HealthClient::new(channel(&server));
    for service in ["", "tokenwell.auth.v1.AuthService", "tokenwell.connection.v1.ConnectionService"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let ask = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let stream = tokio_stream::once(request);
    let mut answers =
        ServerReflectionClient::new(channel(&server)).server_reflection_info(stream).await?.into_inner();
    let answer = answers.message().await?.unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("no list of services") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for method in methods() {
        let service = method.parent_service().full_name().to_owned();
        assert!(names.contains(&service.as_str()), "{service} is not reflected");
    }
    let ask = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&server));
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
    assert!(answers.message().await?.is_some());
    Ok(())
}
