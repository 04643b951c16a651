//! The deadline of a call: the server's own and its caller's. Both are answered, and with the same word.

use bytes::{BufMut as _, BytesMut};
use prost::Message as _;
use tokenwell::{model::Duration, sandbox::Quirks};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::support::{
    Database, Gate, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    server::get,
    steps::{until, works},
};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// A server with the connection `u1`, whose token has expired.
async fn stage(deadline: std::time::Duration) -> (TestServer, TestProvider, Gate, Database) {
    let (clock, gate) = (ManualClock::new(), Gate::new());
    let provider = TestProvider::plain_with(Quirks::default(), &clock, |router| gate.before(router)).await;
    let database = Database::sqlite();
    let options = Options { deadline, ..Options::with(&clock, &provider) };
    let server = TestServer::start(&database, options).await;
    server.create_integration("sandbox", "sandbox").await;
    server.connect("sandbox", "u1").await;
    clock.advance(Duration::hours(1));
    (server, provider, gate, database)
}

#[tokio::test]
async fn the_servers_own_limit_is_answered_and_the_refresh_goes_on() -> TestResult {
    let (server, provider, gate, _database) = stage(SECOND).await;
    gate.close();
    let refused = server.token("sandbox", "u1").await;
    assert_refused(refused, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    gate.open();
    until(async || server.flows().under_way(), |count| *count == 0).await;
    let (_, token) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &token.access_token).await);
    assert_eq!(provider.sandbox.book().refreshes, 1);
    Ok(())
}

/// The client of this test has no clock, so that the answer is the server's. tonic's own timer would say CANCELLED.
#[tokio::test]
async fn the_callers_deadline_is_answered_by_the_server() -> TestResult {
    let (server, _provider, gate, _database) = stage(60 * SECOND).await;
    gate.close();
    let tcp = TcpStream::connect(server.addresses.grpc).await?;
    let (calls, connection) = h2::client::handshake(tcp).await?;
    tokio::spawn(connection);
    let request = http::Request::post("http://tokenwell/tokenwell.connection.v1.ConnectionService/Get")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", server.key))
        .header("grpc-timeout", "500m")
        .body(())?;
    let (answer, mut body) = calls.ready().await?.send_request(request, false)?;
    let message = get("sandbox", "u1").encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len().try_into()?);
    frame.put_slice(&message);
    body.send_data(frame.freeze(), true)?;
    let answer = tokio::time::timeout(10 * SECOND, answer).await??;
    let status = Status::from_header_map(answer.headers()).expect("the answer has no status");
    assert_refused(Err::<(), _>(status), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    gate.open();
    Ok(())
}
