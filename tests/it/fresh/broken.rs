//! Connections that do not open, because something else has written their rows, or their key is gone.

use sea_orm::ConnectionTrait as _;
use tokenwell::api::pb::connection::v1::{ImportOAuth2, import_credentials::Kind as Credentials};
use tonic::Code;

use super::{delete, usual};
use crate::support::{Acme, TestResult, assert_refused};

async fn broken() -> Acme {
    let acme = usual().await;
    let db = acme.database.connect().await;
    db.execute_unprepared("UPDATE connections SET refresh_token = access_token").await.unwrap();
    db.close().await.unwrap();
    assert_refused(acme.get().await, Code::Internal, "INTERNAL");
    acme
}

#[tokio::test]
async fn it_can_be_deleted() -> TestResult {
    let acme = broken().await;
    delete(&acme).await?;
    assert_refused(acme.get().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    Ok(())
}

#[tokio::test]
async fn it_can_be_connected_anew() -> TestResult {
    let acme = broken().await;
    acme.connect(&[]).await;
    acme.get().await?;
    Ok(())
}

#[tokio::test]
async fn an_import_replaces_it() -> TestResult {
    let acme = broken().await;
    let oauth2 = ImportOAuth2 { access_token: "imported".to_owned(), ..ImportOAuth2::default() };
    acme.import(Credentials::Oauth2(oauth2)).await?;
    assert_eq!(acme.token().await?, "imported");
    Ok(())
}
