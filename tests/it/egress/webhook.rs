//! Where webhooks may be sent: their owners choose it freely, so the server's operator decides how far it reaches.

use tokenwell::{
    api::pb::webhook::v1::{
        CreateRequest, Delivery, ListDeliveriesRequest, TestRequest, UpdateRequest, Webhook,
    },
    app::Addresses,
};
use tonic::{Code, Status};

use crate::{
    cli::program::{Server, serve, served},
    support::{Database, ManualClock, Options, Receiver, TestResult, TestServer, assert_refused},
};

const OWN: [&str; 4] =
    ["http://127.0.0.1:3000/hook", "https://localhost/hook", "https://[::1]/hook", "https://0x7f.1/hook"];
const PRIVATE: [&str; 3] = ["https://10.0.0.1/", "https://[::ffff:192.168.0.1]/", "https://100.64.0.1:8443/"];
const NEVER: [&str; 4] =
    ["https://169.254.169.254/", "https://[fd00:ec2::254]/", "https://0.0.0.0/", "https://[2002:a00:1::]/"];
const PUBLIC: [&str; 3] = ["https://hooks.example.com/", "https://1.1.1.1/", "https://[2606:4700::1111]/"];

/// A server without leave to call this machine for development.
fn options(private_webhooks: bool) -> Options {
    let mut options = Options { loopback: false, private_webhooks, ..Options::new(&ManualClock::new()) };
    options.http.loopback = false;
    options
}

async fn create(server: &TestServer, url: &str) -> Result<Webhook, Status> {
    let webhook = Webhook { url: url.to_owned(), ..Webhook::default() };
    let request = CreateRequest { webhook: Some(webhook) };
    Ok(server.webhook(&server.key).create(request).await?.into_inner().webhook.unwrap())
}

/// Points a webhook elsewhere.
async fn point(server: &TestServer, webhook: &Webhook, url: &str) -> Result<Webhook, Status> {
    let webhook =
        Webhook { webhook_id: webhook.webhook_id.clone(), url: url.to_owned(), ..Webhook::default() };
    let request = UpdateRequest { webhook: Some(webhook), update_mask: None };
    Ok(server.webhook(&server.key).update(request).await?.into_inner().webhook.unwrap())
}

#[track_caller]
fn assert_bad_url(result: Result<Webhook, Status>, url: &str) {
    let refusal = assert_refused(result, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["url"], "{url}");
    assert!(refusal.message.contains("--allow-private-webhooks"), "{url}: {}", refusal.message);
}

#[tokio::test]
async fn a_webhook_is_at_a_public_address_by_default() -> TestResult {
    let database = Database::sqlite();
    let server = TestServer::start(&database, options(false)).await;
    let webhook = create(&server, PUBLIC[0]).await?;
    for url in PUBLIC {
        point(&server, &webhook, url).await?;
    }
    for url in OWN.iter().chain(&PRIVATE).chain(&NEVER) {
        assert_bad_url(create(&server, url).await, url);
        assert_bad_url(point(&server, &webhook, url).await, url);
    }
    Ok(())
}

#[tokio::test]
async fn the_operator_may_let_webhooks_into_private_networks() -> TestResult {
    let database = Database::sqlite();
    let server = TestServer::start(&database, options(true)).await;
    let webhook = create(&server, PUBLIC[0]).await?;
    for url in OWN.iter().chain(&PRIVATE) {
        point(&server, &webhook, url).await?;
    }
    for url in NEVER {
        assert_bad_url(create(&server, url).await, url);
    }
    // In development this machine is called, and no private network.
    let development = Options { loopback: true, ..options(false) };
    let database = Database::sqlite();
    let server = TestServer::start(&database, development).await;
    for url in OWN {
        create(&server, url).await?;
    }
    for url in PRIVATE.iter().chain(&NEVER) {
        assert_bad_url(create(&server, url).await, url);
    }
    Ok(())
}

/// Makes a delivery, and gives it as it is when what is due was sent.
async fn deliver(server: &TestServer, webhook: &Webhook) -> Delivery {
    let mut client = server.webhook(&server.key);
    let id = || webhook.webhook_id.clone();
    let made = client.test(TestRequest { webhook_id: id() }).await.unwrap().into_inner().delivery.unwrap();
    server.flows().deliver_webhooks().await.unwrap();
    let request = ListDeliveriesRequest { webhook_id: id(), ..ListDeliveriesRequest::default() };
    let listed = client.list_deliveries(request).await.unwrap().into_inner().deliveries;
    listed.into_iter().find(|it| it.delivery_id == made.delivery_id).unwrap()
}

/// What was allowed when a webhook was made is judged again with every delivery.
#[tokio::test]
async fn no_delivery_goes_where_webhooks_may_not_be() -> TestResult {
    let database = Database::sqlite();
    let receiver = Receiver::start().await;
    let open = TestServer::start(&database, options(true)).await;
    let webhook = create(&open, &receiver.url()).await?;
    assert_eq!(deliver(&open, &webhook).await.response_status, 200);
    assert_eq!(receiver.take().len(), 1);

    let mut strict = TestServer::start(&database, options(false)).await;
    strict.key.clone_from(&open.key);
    let delivery = deliver(&strict, &webhook).await;
    assert_eq!(delivery.response_status, 0);
    assert!(delivery.problem.contains("--allow-private-webhooks"), "{}", delivery.problem);
    assert_eq!(receiver.requests().len(), 0);
    // It can be renamed and switched off all the same.
    let change = Webhook { disabled: true, webhook_id: webhook.webhook_id.clone(), ..Webhook::default() };
    let request = UpdateRequest { webhook: Some(change), update_mask: None };
    assert!(strict.webhook(&strict.key).update(request).await?.into_inner().webhook.unwrap().disabled);
    Ok(())
}

/// The program as it is started without a word about it.
#[tokio::test]
async fn the_program_reaches_as_far_as_its_flags_say() -> TestResult {
    let (data, key) = served();
    for (flags, own, private) in [
        (&[][..], false, false),
        (&["--dev-loopback-providers"], true, false),
        (&["--allow-private-webhooks"], true, true),
    ] {
        let process = Server::start(serve(data.path()).args(flags));
        let address = |listener| process.address(listener).parse();
        let (grpc, gateway, admin) = (address("grpc")?, address("gateway")?, address("admin")?);
        let server = TestServer::elsewhere(Addresses { grpc, gateway, admin }, key.clone());
        for (url, allowed) in [(OWN[0], own), (PRIVATE[0], private), (PUBLIC[0], true), (NEVER[0], false)] {
            match create(&server, url).await {
                created if allowed => drop(created?),
                refused => assert_bad_url(refused, url),
            }
        }
    }
    Ok(())
}
