//! A connection that something is put around, as TLS is: it has no more time for that, and no second place.

use std::{
    future::{pending, ready},
    io::{self, ErrorKind},
    time::Duration,
};

use futures::future::join;
use tokenwell::{
    api::{Connection, ConnectionLimits, Incoming},
    config::loopback,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::support::{TestResult, raw::PREFACE};

const PATIENCE: Duration = Duration::from_secs(2);

/// A listener with one place, and a client that has connected to it.
async fn accept() -> io::Result<(Incoming, Connection, TcpStream)> {
    let listener = TcpListener::bind(loopback(0)).await?;
    let address = listener.local_addr()?;
    let limits = ConnectionLimits { connections: 1, patience: PATIENCE, keepalive: PATIENCE };
    let mut incoming = Incoming::new(listener, limits);
    let client = TcpStream::connect(address).await?;
    let connection = incoming.accept().await;
    Ok((incoming, connection, client))
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(5 * PATIENCE, what).await.expect("it waits and waits")
}

#[tokio::test]
async fn what_is_agreed_on_first_has_the_time_of_the_first_words() -> TestResult {
    let (_incoming, connection, _client) = accept().await?;
    let begun = Instant::now();
    let refused = within(connection.wrap(|_| pending::<io::Result<TcpStream>>())).await;
    assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    assert!(begun.elapsed() < 2 * PATIENCE, "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn the_first_words_come_after_it_and_in_the_same_time() -> TestResult {
    let (_incoming, connection, mut client) = accept().await?;
    let begun = Instant::now();
    // What is said during a handshake is not what a client wants.
    client.write_all(PREFACE).await?;
    let slow = async |mut stream: TcpStream| {
        stream.read_exact(&mut [0; PREFACE.len()]).await?;
        sleep(PATIENCE.mul_f32(0.9)).await;
        Ok(BufStream::new(stream))
    };
    let refused = within(async { connection.wrap(slow).await?.read(&mut [0; 24]).await }).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    assert!(begun.elapsed() < PATIENCE.mul_f32(1.5), "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn who_has_said_what_it_wants_may_be_silent() -> TestResult {
    let (_incoming, connection, mut client) = accept().await?;
    let mut connection = connection.wrap(|stream| ready(Ok(BufStream::new(stream)))).await?;
    client.write_all(PREFACE).await?;
    connection.read_exact(&mut [0; PREFACE.len()]).await?;
    let later = async {
        sleep(2 * PATIENCE).await;
        client.write_all(b"later").await
    };
    let (read, written) = within(join(connection.read_u8(), later)).await;
    written?;
    assert_eq!(read?, b'l');
    Ok(())
}

#[tokio::test]
async fn it_has_the_place_that_it_had() -> TestResult {
    let (mut incoming, connection, client) = accept().await?;
    let connection = connection.wrap(|stream| ready(Ok(BufStream::new(stream)))).await?;
    assert_eq!(connection.peer(), client.local_addr()?);
    let address = client.peer_addr()?;
    let mut second = TcpStream::connect(address).await?;
    let third = async {
        // It is closed: the place is taken.
        let closed = second.read(&mut [0]).await;
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        drop(connection);
        TcpStream::connect(address).await
    };
    let (accepted, third) = within(join(incoming.accept(), third)).await;
    assert_eq!(accepted.peer(), third?.local_addr()?);
    Ok(())
}
