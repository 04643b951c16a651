//! A project's settings: what each may be, which contradict each other, and that keys come in and never go out.

use prost::Message as _;
use prost_types::FieldMask;
use sea_orm::ConnectionTrait as _;
use tokenwell::api::pb::project::v1::{
    Completion, GetSettingsRequest, HmacSettings, Settings, UpdateSettingsRequest,
    project_service_client::ProjectServiceClient,
};
use tonic::{Code, Status};

use crate::support::{Database, ManualClock, Options, TestResult, TestServer, assert_refused, server::Keyed};

type Client = ProjectServiceClient<Keyed>;

async fn server() -> (TestServer, Database) {
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::new(&ManualClock::new())).await;
    (server, database)
}

async fn fetch(client: &mut Client) -> Settings {
    client.get_settings(GetSettingsRequest {}).await.unwrap().into_inner().settings.unwrap()
}

async fn update(client: &mut Client, settings: Settings, paths: &[&str]) -> Result<Settings, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateSettingsRequest { settings: Some(settings), update_mask: Some(FieldMask { paths }) };
    Ok(client.update_settings(request).await?.into_inner().settings.unwrap())
}

async fn update_without_mask(client: &mut Client, settings: Settings) -> Result<Settings, Status> {
    let request = UpdateSettingsRequest { settings: Some(settings), update_mask: None };
    Ok(client.update_settings(request).await?.into_inner().settings.unwrap())
}

fn initial() -> Settings {
    Settings {
        hmac: Some(HmacSettings::default()),
        completion: Completion::Automatic.into(),
        browser_binding: true,
        ..Settings::default()
    }
}

fn keys(lengths: &[usize]) -> HmacSettings {
    let keys = lengths.iter().map(|length| b"canary-key-".iter().copied().cycle().take(*length).collect());
    HmacSettings { keys: keys.collect(), ..HmacSettings::default() }
}

fn with_hmac(hmac: HmacSettings) -> Settings {
    Settings { hmac: Some(hmac), ..Settings::default() }
}

/// Everything other than at the beginning.
fn other() -> Settings {
    Settings {
        hmac: Some(HmacSettings {
            required: true,
            refuse_v1: true,
            max_lifetime: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            ..keys(&[32, 1024])
        }),
        callback_url: "https://app.example.com/{integration_id}/cb".to_owned(),
        allowed_return_urls: vec!["https://app.example.com/done".to_owned()],
        allowed_origins: vec!["https://app.example.com".to_owned(), "http://127.0.0.1:3000".to_owned()],
        completion: Completion::Confirm.into(),
        browser_binding: false,
    }
}

/// What an answer shows of settings: how many keys there are, but none of them.
fn shown(mut settings: Settings) -> Settings {
    if let Some(hmac) = &mut settings.hmac {
        hmac.keys_set = i32::try_from(hmac.keys.len()).unwrap();
        hmac.keys.clear();
    }
    settings
}

#[tokio::test]
async fn a_new_project_asks_for_nothing_but_the_same_browser() {
    let (server, _database) = server().await;
    assert_eq!(fetch(&mut server.project(&server.key)).await, initial());
}

#[tokio::test]
async fn an_update_changes_the_settings_that_its_mask_names() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let old = |change: fn(&mut Settings, Settings)| {
        let mut settings = initial();
        change(&mut settings, shown(other()));
        settings
    };
    let max_lifetime = |it: &mut Settings, new: Settings| {
        it.hmac.get_or_insert_default().max_lifetime = new.hmac.unwrap().max_lifetime;
    };
    let cases: [(&[&str], Settings); 11] = [
        (&["hmac.max_lifetime"], old(max_lifetime)),
        (&["hmac.refuse_v1"], old(|it, _| it.hmac.get_or_insert_default().refuse_v1 = true)),
        (&["hmac.keys"], old(|it, _| it.hmac.get_or_insert_default().keys_set = 2)),
        (&["hmac"], old(|it, new| it.hmac = new.hmac)),
        (&["callback_url"], old(|it, new| it.callback_url = new.callback_url)),
        (&["allowed_return_urls"], old(|it, new| it.allowed_return_urls = new.allowed_return_urls)),
        (&["allowed_origins"], old(|it, new| it.allowed_origins = new.allowed_origins)),
        (
            &["completion", "allowed_return_urls"],
            old(|it, new| {
                it.completion = new.completion;
                it.allowed_return_urls = new.allowed_return_urls;
            }),
        ),
        (&["browser_binding"], old(|it, _| it.browser_binding = false)),
        (&["*"], shown(other())),
        (&["callback_url", "*"], shown(other())),
    ];
    for (paths, expected) in cases {
        let updated = update(&mut client, other(), paths).await?;
        assert_eq!((updated, paths), (expected.clone(), paths));
        assert_eq!(fetch(&mut client).await, expected, "{paths:?}");
        assert_eq!(update(&mut client, initial(), &["*"]).await?, initial());
    }
    let required = HmacSettings { required: true, keys_set: 2, ..HmacSettings::default() };
    let updated = update(&mut client, other(), &["hmac.keys", "hmac.required"]).await?;
    assert_eq!(updated.hmac, Some(required));
    Ok(())
}

#[tokio::test]
async fn an_update_without_a_mask_changes_the_settings_that_are_not_empty() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    update(&mut client, other(), &["*"]).await?;
    assert_eq!(update_without_mask(&mut client, Settings::default()).await?, shown(other()));
    let callback_url = "https://app.example.com/cb".to_owned();
    let change =
        Settings { callback_url: callback_url.clone(), browser_binding: true, ..Settings::default() };
    let expected = Settings { callback_url, browser_binding: true, ..shown(other()) };
    assert_eq!(update_without_mask(&mut client, change).await?, expected);
    assert_eq!(fetch(&mut client).await, expected);
    Ok(())
}

#[tokio::test]
async fn what_is_no_setting_is_refused_in_a_mask() {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    for path in ["hmac.keys_set", "hmac.", "hma", "hmac.keys.0", "callback", "", "Hmac", "browserBinding"] {
        let refused = update(&mut client, other(), &["callback_url", path]).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["update_mask"], "{path}");
    }
    assert_eq!(fetch(&mut client).await, initial());
}

#[tokio::test]
async fn malformed_settings_are_refused_by_field_and_nothing_changes() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let callback = |url: &str| Settings { callback_url: url.to_owned(), ..initial() };
    let returns = |urls: &[&str]| {
        let allowed_return_urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Settings { allowed_return_urls, ..initial() }
    };
    let origins = |origins: &[&str]| {
        let allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Settings { allowed_origins, ..initial() }
    };
    let (good_url, good_origin) = ("https://app.example.com/a", "https://app.example.com");
    let long = format!("https://app.example.com/{}", "a".repeat(2048));
    let mut cases = vec![
        (with_hmac(keys(&[31])), "hmac.keys"),
        (with_hmac(keys(&[32, 0])), "hmac.keys"),
        (with_hmac(keys(&[1025])), "hmac.keys"),
        (with_hmac(keys(&[32, 32, 32])), "hmac.keys"),
        (Settings { completion: 99, ..initial() }, "completion"),
        (returns(&[good_url; 33]), "allowed_return_urls"),
        (origins(&[good_origin; 33]), "allowed_origins"),
    ];
    for url in [
        "app.example.com/cb",
        "http://app.example.com/cb",
        "https://user@app.example.com/cb",
        "https://app.example.com/cb?a=b",
        "https://app.example.com/cb#a",
        "https://{integration_id}.example.com/cb",
        "https://app.example.com/{connection_id}",
        "javascript:alert(1)",
        &long,
    ] {
        cases.push((callback(url), "callback_url"));
    }
    for url in [
        "",
        "/done",
        "http://app.example.com/",
        "https://u:p@app.example.com/",
        "https://app.example.com/?a",
        "https://app.example.com\\@evil.example/",
        &long,
    ] {
        cases.push((returns(&[good_url, url]), "allowed_return_urls[1]"));
    }
    for origin in [
        "*",
        "null",
        "https://app.example.com/",
        "https://app.example.com/a",
        "http://app.example.com",
        "https://App.example.com",
        "https://app.example.com:443",
    ] {
        cases.push((origins(&[good_origin, origin]), "allowed_origins[1]"));
    }
    for (settings, field) in cases {
        let refused = update(&mut client, settings.clone(), &["*"]).await;
        assert!(refused.is_err(), "let through: {settings:?}");
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, [field], "{settings:?}");
        assert!(!refusal.message.contains("canary"), "the message repeats a key");
        assert_eq!(fetch(&mut client).await, initial());
    }
    Ok(())
}

#[tokio::test]
async fn what_is_at_the_limit_is_accepted() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let urls = (0..32).map(|index| format!("https://app.example.com/{index}"));
    let origins = (0..32).map(|index| format!("https://{index}.example.com:8443"));
    let callback_url = format!("https://app.example.com/{}", "a".repeat(2048 - 24));
    let settings = Settings {
        hmac: Some(keys(&[32, 1024])),
        allowed_return_urls: urls.collect(),
        allowed_origins: origins.collect(),
        callback_url,
        ..initial()
    };
    assert_eq!(update(&mut client, settings.clone(), &["*"]).await?, shown(settings));
    for callback_url in
        ["http://127.0.0.1:3000/cb", "http://localhost/cb", "http://[::1]:80/{integration_id}"]
    {
        let settings = Settings { callback_url: callback_url.to_owned(), ..Settings::default() };
        update(&mut client, settings, &["callback_url"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let required = || with_hmac(HmacSettings { required: true, ..HmacSettings::default() });
    let confirm = || Settings { completion: Completion::Confirm.into(), ..Settings::default() };
    for (settings, paths, field) in [
        (required(), "hmac.required", "hmac.required"),
        (required(), "hmac", "hmac.required"),
        (confirm(), "completion", "completion"),
    ] {
        let refused = update(&mut client, settings, &[paths]).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "SETTINGS_CONFLICT");
        assert_eq!(refusal.fields, [field]);
    }
    assert_eq!(fetch(&mut client).await, initial());

    // What is required cannot be taken away again, either.
    update(&mut client, other(), &["*"]).await?;
    for (paths, field) in [("hmac.keys", "hmac.required"), ("allowed_return_urls", "completion")] {
        let refused = update(&mut client, Settings::default(), &[paths]).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "SETTINGS_CONFLICT");
        assert_eq!(refusal.fields, [field]);
    }
    assert_eq!(fetch(&mut client).await, shown(other()));
    update(&mut client, Settings::default(), &["hmac.keys", "hmac.required"]).await?;
    Ok(())
}

#[tokio::test]
async fn keys_are_in_no_answer() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let request = UpdateSettingsRequest {
        settings: Some(with_hmac(keys(&[32, 64]))),
        update_mask: Some(FieldMask { paths: vec!["hmac.keys".to_owned()] }),
    };
    let updated = client.update_settings(request).await?.into_inner();
    assert_eq!(updated.settings.clone().unwrap().hmac.unwrap().keys_set, 2);
    let fetched = client.get_settings(GetSettingsRequest {}).await?.into_inner();
    for bytes in [updated.encode_to_vec(), fetched.encode_to_vec()] {
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "a key is answered");
    }
    let updated = update(&mut client, with_hmac(keys(&[32])), &["hmac.keys"]).await?;
    assert_eq!(updated.hmac.unwrap().keys_set, 1);
    Ok(())
}

/// `keys_set` is output only: sending back what was read must not matter.
#[tokio::test]
async fn settings_that_were_read_can_be_written_back() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    update(&mut client, other(), &["*"]).await?;
    let read = fetch(&mut client).await;
    assert_eq!(update_without_mask(&mut client, read.clone()).await?, read);
    Ok(())
}

#[tokio::test]
async fn every_project_has_settings_of_its_own() -> TestResult {
    let (server, _database) = server().await;
    let secret = server.create_project("other").await;
    update(&mut server.project(&server.key), other(), &["*"]).await?;
    assert_eq!(fetch(&mut server.project(&secret)).await, initial());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_lose_nothing() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let paths = ["hmac.keys", "callback_url", "allowed_return_urls", "allowed_origins", "browser_binding"];
    let mut expected = Settings { completion: Completion::Automatic.into(), ..shown(other()) };
    expected.hmac = Some(HmacSettings { keys_set: 2, ..HmacSettings::default() });
    // Whether two of them meet is a matter of luck, which a few rounds make certain enough.
    for _ in 0..10 {
        let changes = paths.map(|path| {
            let mut client = client.clone();
            tokio::spawn(async move { update(&mut client, other(), &[path]).await })
        });
        for change in changes {
            change.await??;
        }
        assert_eq!(fetch(&mut client).await, expected);
        update(&mut client, initial(), &["*"]).await?;
    }
    Ok(())
}

/// A release that knows one setting less has written the row: what is compared is what is there, not how this release
/// would have written it.
#[tokio::test]
async fn settings_of_an_earlier_release_can_be_changed() -> TestResult {
    let (server, database) = server().await;
    let mut client = server.project(&server.key);
    let rows = database.connect().await;
    rows.execute_unprepared("UPDATE projects SET settings = '{\"hmac_required\":false}'").await?;
    assert_eq!(fetch(&mut client).await, initial());
    let updated = update(&mut client, other(), &["*"]).await?;
    assert_eq!(updated, shown(other()));
    Ok(())
}
