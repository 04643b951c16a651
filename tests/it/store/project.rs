//! Projects, their settings, and API keys.

use tokenwell::model::{
    ApiKey, Completion, Duration, Error, ExposeSecret as _, KeyKind, OsRandom, Permission, Project,
    ProjectId, SecretString, Settings,
};

use super::{
    fixture::{House, add_project, at_once, new_id, page, start},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    a_second_project_of_one_id_is_refused,
    projects_are_listed_by_id,
    a_new_project_has_the_default_settings,
    settings_come_back_as_they_went_in,
    settings_are_written_only_over_those_that_were_read,
    hmac_keys_are_written_only_over_those_that_were_read,
    one_of_many_writers_of_settings_writes,
    settings_of_another_release_can_be_changed,
    an_api_key_is_found_by_its_secret,
    a_revoked_key_says_since_when,
    api_keys_are_listed_oldest_first,
    a_permission_of_a_later_release_is_left_out,
);

async fn settings(house: &House) -> Settings {
    house.store.get_settings(&house.project).await.unwrap().unwrap()
}

async fn put(house: &House, old: &Settings, new: &Settings) -> bool {
    house.store.put_settings(&house.project, old, new).await.unwrap()
}

async fn a_second_project_of_one_id_is_refused(kind: Kind) {
    let house = House::new(kind).await;
    let made = house.store.get_project(&house.project).await.unwrap().unwrap();
    let twin = Project { display_name: "Twin".to_owned(), ..made.clone() };
    let refused = house.store.insert_project(&twin).await;
    assert!(matches!(refused, Err(Error::ProjectAlreadyExists(id)) if id == house.project));
    assert_eq!(house.store.get_project(&house.project).await.unwrap(), Some(made));
    let nobody = ProjectId::parse("nobody").unwrap();
    assert_eq!(house.store.get_project(&nobody).await.unwrap(), None);
    assert!(house.store.get_settings(&nobody).await.unwrap().is_none());
}

async fn projects_are_listed_by_id(kind: Kind) {
    let house = House::new(kind).await;
    for id in ["b-1", "b", "a"] {
        add_project(&house.store, id).await;
    }
    let first = house.store.list_projects(&page(3, "")).await.unwrap();
    let token = first.next.unwrap().into_string();
    let second = house.store.list_projects(&page(3, &token)).await.unwrap();
    assert_eq!(second.next, None);
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a", "acme", "b", "b-1"]);
}

async fn a_new_project_has_the_default_settings(kind: Kind) {
    let house = House::new(kind).await;
    let settings = settings(&house).await;
    assert!(!settings.hmac_required && !settings.hmac_refuse_v1 && settings.hmac_keys.is_empty());
    assert!(settings.callback_url.is_none() && settings.allowed_return_urls.is_empty());
    assert_eq!((settings.completion, settings.browser_binding), (Completion::Automatic, true));
}

async fn settings_come_back_as_they_went_in(kind: Kind) {
    let house = House::new(kind).await;
    let sent = Settings {
        hmac_required: true,
        hmac_refuse_v1: true,
        hmac_keys: vec![vec![1; 32].into(), vec![0, 255, 10, 13].into()],
        callback_url: Some("https://app.example.com/{integration_id}".to_owned()),
        allowed_return_urls: vec!["https://app.example.com/done".to_owned()],
        allowed_origins: vec!["https://app.example.com".to_owned()],
        completion: Completion::Confirm,
        browser_binding: false,
        ..Settings::default()
    };
    assert!(put(&house, &settings(&house).await, &sent).await);
    let got = settings(&house).await;
    assert!(got.hmac_required && got.hmac_refuse_v1 && !got.browser_binding);
    assert_eq!(keys(&got), [vec![1; 32], vec![0, 255, 10, 13]]);
    assert_eq!((got.callback_url.clone(), got.completion), (sent.callback_url, sent.completion));
    assert_eq!(got.allowed_return_urls, sent.allowed_return_urls);
    assert_eq!(got.allowed_origins, sent.allowed_origins);

    // A key that is left out is gone.
    let fewer = Settings { hmac_keys: vec![vec![2; 32].into()], ..got.clone() };
    assert!(put(&house, &got, &fewer).await);
    assert_eq!(keys(&settings(&house).await), [vec![2; 32]]);
}

async fn settings_are_written_only_over_those_that_were_read(kind: Kind) {
    let house = House::new(kind).await;
    let old = settings(&house).await;
    let mine = Settings { browser_binding: false, ..old.clone() };
    let late = Settings { callback_url: Some("https://late.example.com/".to_owned()), ..old.clone() };
    assert!(put(&house, &old, &mine).await);
    assert!(!put(&house, &old, &late).await);
    let got = settings(&house).await;
    assert_eq!((got.browser_binding, got.callback_url), (false, None));
}

/// The keys are settings like the others: a writer that has not seen the newest ones does not bring back the old.
async fn hmac_keys_are_written_only_over_those_that_were_read(kind: Kind) {
    let house = House::new(kind).await;
    let old = settings(&house).await;
    let mine = Settings { hmac_keys: vec![vec![1; 32].into()], ..old.clone() };
    let late = Settings { browser_binding: false, ..old.clone() };
    assert!(put(&house, &old, &mine).await);
    let written = put(&house, &old, &late).await;
    assert_eq!(
        keys(&settings(&house).await),
        [vec![1; 32]],
        "a writer that had read no key removed the new one"
    );
    assert!(!written);
}

async fn one_of_many_writers_of_settings_writes(kind: Kind) {
    let house = House::new(kind).await;
    let old = settings(&house).await;
    let written = at_once(20, |index| {
        let (store, project, old) = (house.store.clone(), house.project.clone(), old.clone());
        let new = Settings { callback_url: Some(format!("https://{index}.example.com/")), ..old.clone() };
        async move { store.put_settings(&project, &old, &new).await.unwrap() }
    })
    .await;
    assert_eq!(written.into_iter().filter(|written| *written).count(), 1);
}

/// A release that knows more or fewer settings has written the row: JSON without them, in another order.
async fn settings_of_another_release_can_be_changed(kind: Kind) {
    let house = House::new(kind).await;
    house
        .execute(r#"UPDATE projects SET settings = '{"browser_binding": false, "allowed_origins": []}'"#)
        .await;
    let old = settings(&house).await;
    let new = Settings { hmac_refuse_v1: true, ..old.clone() };
    assert!(put(&house, &old, &new).await, "these settings can never be changed again");
    let got = settings(&house).await;
    assert!(got.hmac_refuse_v1 && !got.browser_binding);
}

fn keys(settings: &Settings) -> Vec<Vec<u8>> {
    settings.hmac_keys.iter().map(|key| key.expose_secret().to_vec()).collect()
}

async fn add_key(house: &House, project: &ProjectId, name: &str, seconds: i64) -> (ApiKey, SecretString) {
    let permissions = vec![Permission::Write, Permission::Read];
    let now = start() + Duration::seconds(seconds);
    let expiry = Some(now + Duration::days(1));
    let made = ApiKey::generate(
        &OsRandom,
        now,
        project.clone(),
        name.to_owned(),
        KeyKind::Secret,
        permissions,
        expiry,
    );
    let (key, secret) = made.unwrap();
    house.store.insert_api_key(&key, &secret).await.unwrap();
    (key, secret)
}

async fn an_api_key_is_found_by_its_secret(kind: Kind) {
    let house = House::new(kind).await;
    assert!(!house.store.has_api_keys().await.unwrap());
    let (key, secret) = add_key(&house, &house.project, "one", 0).await;
    let other = add_project(&house.store, "other").await;
    let (others, others_secret) = add_key(&house, &other, "two", 0).await;
    assert!(house.store.has_api_keys().await.unwrap());

    let secret = secret.expose_secret();
    assert_eq!(house.store.find_api_key(secret).await.unwrap(), Some(key));
    assert_eq!(house.store.find_api_key(others_secret.expose_secret()).await.unwrap(), Some(others));
    for wrong in ["", &secret[..secret.len() - 1], &secret.to_uppercase(), "%"] {
        assert_eq!(house.store.find_api_key(wrong).await.unwrap(), None);
    }
    // What lies in the database is no key.
    let digest: String = house.value("SELECT digest FROM api_keys WHERE display_name = 'one'").await;
    assert_eq!(house.store.find_api_key(&digest).await.unwrap(), None);
}

async fn a_revoked_key_says_since_when(kind: Kind) {
    let house = House::new(kind).await;
    let (key, secret) = add_key(&house, &house.project, "one", 0).await;
    let now = start() + Duration::hours(1);
    let revoked = house.store.revoke_api_key(&house.project, key.id, now).await.unwrap();
    let expected = ApiKey { revoke_time: Some(now), ..key };
    assert_eq!(revoked.as_ref(), Some(&expected));
    // Revoking it again does not make it look younger.
    let again =
        house.store.revoke_api_key(&house.project, expected.id, now + Duration::hours(1)).await.unwrap();
    assert_eq!(again.as_ref(), Some(&expected));
    let found = house.store.find_api_key(secret.expose_secret()).await.unwrap().unwrap();
    assert!(matches!(found.verify(now), Err(Error::ApiKeyInvalid)));
    assert_eq!(house.store.revoke_api_key(&house.project, new_id(), now).await.unwrap(), None);
}

async fn api_keys_are_listed_oldest_first(kind: Kind) {
    let house = House::new(kind).await;
    for (seconds, name) in [(1, "b"), (2, "a"), (3, "c")] {
        add_key(&house, &house.project, name, seconds).await;
    }
    let first = house.store.list_api_keys(&house.project, &page(2, "")).await.unwrap();
    let token = first.next.unwrap().into_string();
    let second = house.store.list_api_keys(&house.project, &page(2, &token)).await.unwrap();
    assert_eq!(second.next, None);
    let names: Vec<_> = first.items.iter().chain(&second.items).map(|it| it.display_name.as_str()).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

async fn a_permission_of_a_later_release_is_left_out(kind: Kind) {
    let house = House::new(kind).await;
    let (_, secret) = add_key(&house, &house.project, "one", 0).await;
    house.execute(r#"UPDATE api_keys SET permissions = '["read","of_tomorrow"]'"#).await;
    let found = house.store.find_api_key(secret.expose_secret()).await.unwrap().unwrap();
    assert_eq!(found.permissions, [Permission::Read]);
}
