//! `tokenwell keys`.

use tempfile::TempDir;

use super::program::{Server, on, run, serve, served, tokenwell};

#[test]
fn a_generated_sealing_key_is_new_and_works() {
    let generate = || run(&mut tokenwell(&["keys", "generate-sealing-key"])).ok();
    let (first, second) = (generate(), generate());
    assert_ne!(first, second);
    assert_eq!(first.lines().count(), 1);
    let directory = TempDir::new().unwrap();
    let mut command = serve(directory.path());
    let server = Server::start(command.env("TOKENWELL_SEALING_KEYS", format!("{first}{second}")));
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn api_keys_are_created_listed_and_revoked() {
    let (directory, first) = served();
    let keys = |arguments: &[&str]| on(directory.path(), &[&["keys"], arguments].concat());
    let full = keys(&["create", "--name", "full"]).ok();
    let public = keys(&["create", "--name", "public", "--publishable"]).ok();
    let some = keys(&["create", "--name", "some", "--permissions", "read,write"]).ok();
    assert!(full.starts_with("tw_sk_") && some.starts_with("tw_sk_") && public.starts_with("tw_pk_"));
    // Nothing but the key, so that a script can take it as it is.
    assert_eq!(full.trim().len(), first.len());

    let listed = keys(&["list", "--output", "json"]).ok();
    for secret in [&first, &full, &public, &some] {
        assert!(!listed.contains(&secret.trim()["tw_sk_".len() + 4..]), "the list shows a secret");
    }
    let rows: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(row("public")["permissions"], "begin");
    assert_eq!(row("some")["permissions"], "read,write");
    assert!(!row("full")["permissions"].as_str().unwrap().contains("instance_admin"));
    assert_eq!(row("some")["prefix"], format!("{}...", &some[.."tw_sk_".len() + 4]));
    assert!(rows.iter().all(|row| row["state"] == "active"), "{listed}");

    let id = row("some")["id"].as_str().unwrap();
    let revoked = keys(&["revoke", id]).ok();
    assert!(revoked.contains("some"), "{revoked}");
    let rows = keys(&["list", "--output", "json"]).json();
    for row in rows {
        assert_eq!(row["state"], if row["name"] == "some" { "revoked" } else { "active" });
    }
    // As text, a row is a line and its columns are apart by tabs.
    let text = keys(&["list"]).ok();
    assert_eq!(text.lines().count(), 4);
    assert!(text.lines().all(|line| line.split('\t').count() == 6), "{text}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_by_a_running_server() {
    use tokenwell::{
        api::{Client, pb::connection::v1::ListRequest},
        model::SecretString,
    };
    let directory = TempDir::new().unwrap();
    let server = Server::start(&mut serve(directory.path()));
    let key = on(directory.path(), &["keys", "create", "--name", "mine"]).ok();
    let address = format!("http://{}", server.address("grpc"));
    let client = Client::new(&address, &SecretString::from(key.trim())).unwrap();
    client.connection.clone().list(ListRequest::default()).await.unwrap();

    let rows = on(directory.path(), &["keys", "list", "--output", "json"]).json();
    let mine = rows.iter().find(|row| row["name"] == "mine").unwrap();
    on(directory.path(), &["keys", "revoke", mine["id"].as_str().unwrap()]).ok();
    let refused = client.connection.clone().list(ListRequest::default()).await;
    crate::support::assert_refused(refused, tonic::Code::Unauthenticated, "API_KEY_INVALID");
}

#[test]
fn what_is_not_there_is_named() {
    let (directory, _) = served();
    let keys = |arguments: &[&str]| on(directory.path(), &[&["keys"], arguments].concat());
    let error = keys(&["create", "--project", "nobody"]).error();
    assert!(error.contains("there is no project `nobody`"), "{error}");
    let id = "01890000-0000-7000-8000-000000000000";
    let error = keys(&["revoke", id]).error();
    assert!(error.contains(&format!("there is no API key `{id}`")), "{error}");
    // Arguments that are none end with 2, as is usual, before anything is done.
    for wrong in [
        ["create", "--permissions=everything"].as_slice(),
        &["create", "--publishable", "--permissions=read"],
        &["revoke", "no-uuid"],
        &["list", "--output=xml"],
    ] {
        assert_eq!(keys(wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(keys(&["list", "--output", "json"]).json().len(), 1);
}

#[test]
fn keys_want_a_migrated_database() {
    let directory = TempDir::new().unwrap();
    let key = run(&mut tokenwell(&["keys", "generate-sealing-key"])).ok();
    std::fs::write(directory.path().join("sealing.key"), key).unwrap();
    std::fs::write(directory.path().join("tokenwell.db"), "").unwrap();
    let error = on(directory.path(), &["keys", "list"]).error();
    assert!(error.contains("run `tokenwell migrate`"), "{error}");
}

/// A new key would open nothing of what is there.
#[test]
fn a_database_whose_key_is_gone_gets_no_other_one() {
    let directory = TempDir::new().unwrap();
    on(directory.path(), &["migrate"]).ok();
    let key = directory.path().join("sealing.key");
    std::fs::remove_file(&key).unwrap();
    for command in [&["keys", "list"][..], &["migrate"]] {
        let error = on(directory.path(), command).error();
        assert!(error.contains("sealing.key is gone"), "{error}");
        assert!(!key.exists());
    }
}

/// What the driver says of a URL that it cannot read holds the URL.
#[test]
fn a_password_in_a_malformed_url_is_not_shown() {
    let key = run(&mut tokenwell(&["keys", "generate-sealing-key"])).ok();
    for url in ["postgress://user:canary@host/name", "postgres://user:can/ary@host:x/name", "canary"] {
        let mut command = tokenwell(&["migrate", "--database-url", url, "--sealing-keys", key.trim()]);
        let error = run(&mut command).error();
        assert!(error.contains("is malformed") && !error.contains("ary"), "{error}");
    }
}
