//! Webhooks: a delivery is made with an event's place, claimed by one server, and known to its project only.

use std::collections::BTreeSet;

use tokenwell::{
    model::{
        Attempt, Delivery, DeliveryStatus, Duration, Error, ExposeSecret, MAX_WEBHOOKS, OffsetDateTime,
        ProjectId, Verdict, Webhook,
    },
    store::DueWebhook,
};

use super::{
    fixture::{House, add_project, at_once, new_id, page, secret, start},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    each_event_makes_one_delivery_whoever_places_it,
    a_delivery_is_claimed_by_one,
    a_claim_runs_out,
    a_project_has_so_many_webhooks_and_no_more,
    another_project_finds_no_webhook,
    a_secret_opens_in_its_place_only,
    secrets_that_are_rotated_at_once_follow_each_other,
    many_events_make_many_deliveries,
    a_webhook_that_is_deleted_meanwhile_holds_up_no_event,
);

pub(super) fn webhook(project: &ProjectId) -> Webhook {
    Webhook {
        id: new_id(),
        project_id: project.clone(),
        url: "https://hooks.example.com/".to_owned(),
        event_types: Vec::new(),
        display_name: String::new(),
        disabled: false,
        disabling: None,
        failure_time: None,
        previous_secret_expire_time: None,
        create_time: start(),
        update_time: start(),
    }
}

impl House {
    pub(super) async fn add_webhook(&self) -> Webhook {
        let webhook = webhook(&self.project);
        self.store.insert_webhook(&webhook, &secret("whsec_one")).await.unwrap();
        webhook
    }

    pub(super) async fn deliveries(&self, webhook: &Webhook) -> Vec<Delivery> {
        self.store.list_deliveries(&self.project, webhook.id, None, &page(500, "")).await.unwrap().items
    }

    pub(super) async fn claim(&self, webhook: &Webhook, now: OffsetDateTime) -> Vec<Delivery> {
        self.store.claim_deliveries(webhook.id, 4, now, now + Duration::MINUTE).await.unwrap()
    }
}

async fn each_event_makes_one_delivery_whoever_places_it(kind: Kind) {
    let house = House::new(kind).await;
    let [one, two] = [house.add_webhook().await, house.add_webhook().await];
    for name in ["ada", "bob", "cyd"] {
        house.grant(name, "one", start()).await;
    }
    let placed = at_once(8, |_| {
        let store = house.store.clone();
        async move {
            loop {
                match store.place_events().await {
                    Err(Error::StoreUnavailable(_)) => {}
                    done => return done.unwrap(),
                }
            }
        }
    })
    .await;
    assert_eq!(placed.iter().sum::<u64>(), 3);
    for webhook in [one, two] {
        let deliveries = house.deliveries(&webhook).await;
        let sequences: BTreeSet<_> =
            deliveries.iter().map(|it| it.subject.as_ref().unwrap().sequence).collect();
        assert_eq!((deliveries.len(), sequences), (3, [1, 2, 3].into()));
        assert!(deliveries.iter().all(|it| it.status == DeliveryStatus::Pending && it.attempts == 0));
    }
}

async fn a_delivery_is_claimed_by_one(kind: Kind) {
    let house = House::new(kind).await;
    let webhook = house.add_webhook().await;
    for index in 0..80 {
        house.grant(&format!("user-{index}"), "one", start()).await;
    }
    house.store.place_events().await.unwrap();
    let claimed = at_once(8, |_| {
        let (store, id) = (house.store.clone(), webhook.id);
        async move {
            let mut claimed = Vec::new();
            loop {
                match store.claim_deliveries(id, 1, start(), start() + Duration::MINUTE).await {
                    Ok(some) if some.is_empty() => return claimed,
                    Ok(some) => claimed.extend(some.into_iter().map(|it| it.id)),
                    Err(Error::StoreUnavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    })
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 80);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 80);
}

/// A server that is killed between sending and noting leaves its delivery to the others.
async fn a_claim_runs_out(kind: Kind) {
    let house = House::new(kind).await;
    let webhook = house.add_webhook().await;
    house.grant("ada", "one", start()).await;
    house.store.place_events().await.unwrap();
    let due = async |now| house.store.list_due_webhooks(now).await.unwrap();
    assert_eq!(due(start() - Duration::MICROSECOND).await, []);
    assert_eq!(due(start()).await, [DueWebhook { id: webhook.id, failing: false }]);
    let first = house.claim(&webhook, start()).await;
    assert_eq!((first.len(), first[0].attempts, first[0].attempt_time), (1, 1, Some(start())));

    let until = start() + Duration::MINUTE;
    let before = until - Duration::MICROSECOND;
    assert_eq!((due(before).await, house.claim(&webhook, before).await), (Vec::new(), Vec::new()));
    let second = house.claim(&webhook, until).await;
    assert_eq!((second[0].id, second[0].event_id, second[0].attempts), (first[0].id, first[0].event_id, 2));

    // The first server was not dead, only slow. Its failure is no longer of interest.
    let verdict = Verdict::Failed { problem: "late".to_owned(), next_time: None, pause_until: None };
    let attempt = Attempt { time: until, response_status: Some(500), verdict };
    house.store.note_attempt(&first[0], &webhook.url, &attempt).await.unwrap();
    assert_eq!(house.deliveries(&webhook).await, second);
}

async fn a_project_has_so_many_webhooks_and_no_more(kind: Kind) {
    let house = House::new(kind).await;
    let made = at_once(30, |_| {
        let (store, webhook) = (house.store.clone(), webhook(&house.project));
        async move {
            loop {
                match store.insert_webhook(&webhook, &secret("whsec_one")).await {
                    Ok(()) => return true,
                    Err(Error::WebhookLimitReached(MAX_WEBHOOKS)) => return false,
                    Err(Error::StoreUnavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    })
    .await;
    assert_eq!(made.iter().filter(|made| **made).count(), 20);
    let listed = house.store.list_webhooks(&house.project, &page(0, "")).await.unwrap().items;
    assert_eq!(listed.len(), 20);

    // Another project has its own, and one that goes makes room.
    let other = webhook(&add_project(&house.store, "other").await);
    house.store.insert_webhook(&other, &secret("whsec_one")).await.unwrap();
    assert!(house.store.delete_webhook(&house.project, listed[0].id).await.unwrap());
    house.add_webhook().await;
}

async fn another_project_finds_no_webhook(kind: Kind) {
    let house = House::new(kind).await;
    let mine = house.add_webhook().await;
    let other = add_project(&house.store, "other").await;
    house.grant("ada", "one", start()).await;
    house.store.place_events().await.unwrap();
    let delivery = house.deliveries(&mine).await.remove(0);
    let store = &house.store;
    assert_eq!(store.get_webhook(&other, mine.id).await.unwrap(), None);
    assert!(store.list_webhooks(&other, &page(0, "")).await.unwrap().items.is_empty());
    assert!(store.list_deliveries(&other, mine.id, None, &page(0, "")).await.unwrap().items.is_empty());
    assert!(!store.has_delivery(&other, mine.id, delivery.id).await.unwrap());
    assert_eq!(store.redeliver(&other, mine.id, Some(delivery.id), start()).await.unwrap(), 0);
    let rotated = store.rotate_webhook_secret(&other, mine.id, &secret("whsec_two"), start()).await;
    assert_eq!(rotated.unwrap(), None);
    let forged =
        Webhook { project_id: other.clone(), url: "https://evil.example.com/".to_owned(), ..mine.clone() };
    assert!(!store.put_webhook(&forged, &forged).await.unwrap());
    assert!(!store.delete_webhook(&other, mine.id).await.unwrap());
    assert_eq!(store.get_webhook(&house.project, mine.id).await.unwrap(), Some(mine));
}

async fn a_secret_opens_in_its_place_only(kind: Kind) {
    for sql in [
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE display_name = 'other') WHERE display_name = ''",
        "UPDATE webhooks SET secret = previous_secret WHERE display_name = ''",
        "UPDATE webhooks SET previous_secret = secret WHERE display_name = ''",
        "UPDATE webhooks SET project_id = 'other' WHERE display_name = ''",
    ] {
        let house = House::new(kind).await;
        add_project(&house.store, "other").await;
        let mine = house.add_webhook().await;
        let other = Webhook { display_name: "other".to_owned(), ..webhook(&house.project) };
        house.store.insert_webhook(&other, &secret("whsec_other")).await.unwrap();
        house
            .store
            .rotate_webhook_secret(&house.project, mine.id, &secret("whsec_two"), start())
            .await
            .unwrap();
        let target = house.store.get_webhook_target(mine.id, start()).await.unwrap().unwrap();
        let secrets: Vec<_> = target.secrets.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(secrets, ["whsec_two", "whsec_one"]);
        house.execute(sql).await;
        let moved = house.store.get_webhook_target(mine.id, start()).await;
        assert!(matches!(moved, Err(Error::Internal(_))), "{sql}");
        assert!(house.store.get_webhook_target(other.id, start()).await.is_ok());
    }
}

async fn secrets_that_are_rotated_at_once_follow_each_other(kind: Kind) {
    let house = House::new(kind).await;
    let webhook = house.add_webhook().await;
    at_once(6, |index| {
        let (store, project) = (house.store.clone(), house.project.clone());
        async move {
            let new = secret(&format!("whsec_{index}"));
            while let Err(Error::StoreUnavailable(_)) =
                store.rotate_webhook_secret(&project, webhook.id, &new, start()).await
            {}
        }
    })
    .await;
    let target = house.store.get_webhook_target(webhook.id, start()).await.unwrap().unwrap();
    let secrets: BTreeSet<_> = target.secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets.len(), 2);
    assert!(!secrets.contains("whsec_one"), "it was not the last but one");
}

/// More than one statement takes.
async fn many_events_make_many_deliveries(kind: Kind) {
    let house = House::new(kind).await;
    let mut webhooks = Vec::new();
    for _ in 0..20 {
        webhooks.push(house.add_webhook().await);
    }
    for index in 0..40 {
        house.grant(&format!("user-{index}"), "one", start()).await;
    }
    assert_eq!(house.store.place_events().await.unwrap(), 40);
    for webhook in webhooks {
        assert_eq!(house.deliveries(&webhook).await.len(), 40);
    }
}

async fn a_webhook_that_is_deleted_meanwhile_holds_up_no_event(kind: Kind) {
    let house = House::new(kind).await;
    for round in 0..10 {
        let webhook = house.add_webhook().await;
        house.grant(&format!("user-{round}"), "one", start()).await;
        let (store, project) = (house.store.clone(), house.project.clone());
        let placing = tokio::spawn(async move { store.place_events().await });
        let deleted = loop {
            match house.store.delete_webhook(&project, webhook.id).await {
                Err(Error::StoreUnavailable(_)) => {}
                done => break done.unwrap(),
            }
        };
        assert!(deleted);
        let placed = placing.await.unwrap();
        assert!(matches!(placed, Ok(1) | Err(Error::StoreUnavailable(_))), "{placed:?}");
        house.store.place_events().await.unwrap();
    }
    assert_eq!(house.store.feed_bounds().await.unwrap().end, 10);
}
