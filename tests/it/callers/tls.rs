//! TLS on the gRPC listener.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokenwell::api::pb::connection::v1::View;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Authority, PATIENCE, Setting, Stage, assert_turned_away, get_ada, read};
use crate::support::TestResult;

/// A connection that speaks this version of TLS and these protocols.
async fn connect(
    stage: &Stage,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(stage.authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(stage.server.addresses.grpc).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn tls_is_spoken_and_nothing_else() -> TestResult {
    let stage = Stage::new(Setting::default()).await;
    get_ada(&stage.channel(None), Some(&stage.server.key), View::Full).await?;
    assert_turned_away(read(&stage.server.channel_with(None), Some(&stage.server.key)).await);
    let elsewhere = Authority::new("servers").brings(None);
    assert_turned_away(read(&stage.server.channel_with(Some(elsewhere)), Some(&stage.server.key)).await);

    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = connect(&stage, version, &["http/1.1", "h2"]).await?;
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(spoken));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        let refused = connect(&stage, version, &["http/1.1"]).await.unwrap_err();
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_older_than_tls_1_2_is_spoken() {
    let stage = Stage::new(Setting::default()).await;
    // A ClientHello (RFC 5246, section 7.4.1.2) that lacks nothing, whatever version it is of.
    let hello = |version: [u8; 2]| {
        let mut body = version.to_vec();
        body.extend([7; 32]);
        // No session, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression, signature algorithms, groups.
        body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 20]);
        body.extend([0, 13, 0, 6, 0, 4, 4, 3, 8, 4, 0, 10, 0, 6, 0, 4, 0, 29, 0, 23]);
        let length = u8::try_from(body.len()).unwrap();
        [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
    };
    for (version, spoken) in [([3, 0], false), ([3, 1], false), ([3, 2], false), ([3, 3], true)] {
        let mut stream = TcpStream::connect(stage.server.addresses.grpc).await.unwrap();
        stream.write_all(&hello(version)).await.unwrap();
        let mut said = vec![0; 7];
        timeout(PATIENCE, stream.read_exact(&mut said)).await.unwrap().unwrap();
        if spoken {
            // A ServerHello.
            assert_eq!((said[0], said[5]), (22, 2), "{said:?}");
            continue;
        }
        timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
        // A fatal alert, `protocol_version`, and nothing else.
        assert!(said.len() == 7 && said[0] == 21 && said[5..] == [2, 70], "{version:?}: {said:?}");
    }
}

/// Neither clients that do not shake hands nor those that then say nothing hold up others, and they are not waited for.
#[tokio::test]
async fn who_says_nothing_is_not_waited_for() -> TestResult {
    let stage = Stage::new(Setting::default()).await;
    let mut strangers = Vec::new();
    for _ in 0..50 {
        strangers.push(TcpStream::connect(stage.server.addresses.grpc).await?);
    }
    let mut silent = connect(&stage, &TLS13, &["h2"]).await?;
    let quickly = Duration::from_secs(8);
    timeout(quickly, read(&stage.channel(None), Some(&stage.server.key))).await??;

    let mut said = Vec::new();
    for stranger in &mut strangers {
        timeout(PATIENCE, stranger.read_to_end(&mut said)).await??;
    }
    assert!(said.is_empty(), "{said:?}");
    // What the server may say first are its settings. Whether it says goodbye is its own affair.
    drop(timeout(PATIENCE, silent.read_to_end(&mut said)).await?);
    Ok(())
}

/// Who resumed a session would come in by a certificate that nobody has looked at again.
#[tokio::test]
async fn no_session_is_resumed() -> TestResult {
    let stage = Stage::new(Setting::default()).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(stage.authority.pem().as_bytes())?)?;
    for version in [&TLS12, &TLS13] {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[version])?;
        // It remembers sessions.
        let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        for _ in 0..3 {
            let stream = TcpStream::connect(stage.server.addresses.grpc).await?;
            let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
            // Reads the server's settings, and what there is of tickets before them.
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
            let mut settings = [0; 9];
            timeout(PATIENCE, stream.read_exact(&mut settings)).await??;
        }
    }
    Ok(())
}
