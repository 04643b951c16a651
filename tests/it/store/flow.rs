//! Flows: found by digests, bound to the first browser, taken once, parked for a confirmation, purged.

use tokenwell::model::{Completion, Duration, ExposeSecret as _, FLOW_TTL, Flow};

use super::{
    fixture::{House, add_project, at_once, metadata, new_id, secret, start},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    a_flow_comes_back_as_it_went_in,
    a_flow_is_found_by_its_own_tokens_only,
    a_flow_is_taken_once,
    the_first_browser_wins,
    a_flow_without_binding_takes_every_browser,
    a_parked_flow_needs_its_project_and_its_code,
    a_parked_flow_is_taken_once,
    a_taken_flow_is_not_parked,
    the_parked_code_is_wiped_when_it_is_taken,
    a_parked_code_that_nobody_confirms_is_wiped,
    only_expired_flows_are_purged,
    flows_go_with_their_integration,
);

async fn begun(house: &House) -> Flow {
    let flow = house.flow("ada");
    house.begin(&flow, "a", true).await;
    flow
}

async fn a_flow_comes_back_as_it_went_in(kind: Kind) {
    let house = House::new(kind).await;
    let full = Flow { metadata: Some(metadata("plan", "gold")), ..house.flow("ada") };
    let bare = Flow {
        code_verifier: None,
        metadata: None,
        return_url: None,
        completion: Completion::Automatic,
        ..house.flow("bob")
    };
    house.begin(&full, "full", true).await;
    house.begin(&bare, "bare", false).await;
    for (word, sent) in [("full", full), ("bare", bare)] {
        let by_state = house.store.get_flow_by_state(&format!("state-{word}")).await.unwrap().unwrap();
        let by_token =
            house.store.get_flow_by_connect_token(&format!("connect-{word}")).await.unwrap().unwrap();
        for got in [by_state, by_token] {
            let verifier = |flow: &Flow| flow.code_verifier.as_ref().map(|it| it.expose_secret().to_owned());
            assert_eq!(verifier(&got), verifier(&sent));
            assert_eq!(got.authorization_url.expose_secret(), sent.authorization_url.expose_secret());
            assert!(got.parked_query.is_none());
            assert_eq!((got.id, got.project_id), (sent.id, sent.project_id.clone()));
            assert_eq!(got.integration_row_id, sent.integration_row_id);
            assert_eq!(
                (got.integration_id, got.connection_id),
                (sent.integration_id.clone(), sent.connection_id.clone())
            );
            assert_eq!(
                (got.provider_id, got.redirect_uri),
                (sent.provider_id.clone(), sent.redirect_uri.clone())
            );
            assert_eq!((got.config.values, got.scopes), (sent.config.values.clone(), sent.scopes.clone()));
            assert_eq!((got.metadata, got.return_url), (sent.metadata.clone(), sent.return_url.clone()));
            assert_eq!((got.completion, got.browser_digest), (sent.completion, None));
            assert_eq!((got.create_time, got.expire_time), (sent.create_time, sent.expire_time));
        }
    }
}

async fn a_flow_is_found_by_its_own_tokens_only(kind: Kind) {
    let house = House::new(kind).await;
    let flow = begun(&house).await;
    for wrong in ["", "state-b", "STATE-A", "state-a ", "connect-a", "%"] {
        assert!(house.store.get_flow_by_state(wrong).await.unwrap().is_none(), "{wrong}");
    }
    assert!(house.store.get_flow_by_connect_token("state-a").await.unwrap().is_none());
    // What lies in the database opens nothing.
    let digest: String = house.value("SELECT state_digest FROM flows").await;
    assert!(house.store.get_flow_by_state(&digest).await.unwrap().is_none());
    assert_eq!(house.store.get_flow_project(flow.id).await.unwrap(), Some(house.project.clone()));
    assert_eq!(house.store.get_flow_project(new_id()).await.unwrap(), None);
}

async fn a_flow_is_taken_once(kind: Kind) {
    let house = House::new(kind).await;
    let flow = begun(&house).await;
    let other = house.flow("bob");
    house.begin(&other, "b", true).await;
    let taken = at_once(20, |_| {
        let (store, flow) = (house.store.clone(), flow.clone());
        async move { store.take_flow(&flow).await.unwrap() }
    })
    .await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
    assert!(house.store.get_flow_by_state("state-a").await.unwrap().is_none());
    assert!(house.store.get_flow_by_connect_token("connect-a").await.unwrap().is_none());
    // The result page still finds out whose it was.
    assert_eq!(house.store.get_flow_project(flow.id).await.unwrap(), Some(house.project.clone()));
    assert!(house.store.get_flow_by_state("state-b").await.unwrap().is_some());
}

async fn the_first_browser_wins(kind: Kind) {
    let house = House::new(kind).await;
    let flow = begun(&house).await;
    let bound = at_once(20, |index| {
        let (store, flow) = (house.store.clone(), flow.clone());
        async move { store.bind_browser(&flow, &format!("browser-{index}")).await.unwrap().then_some(index) }
    })
    .await;
    let winners: Vec<_> = bound.into_iter().flatten().collect();
    let [winner] = winners[..] else { panic!("{winners:?} were bound") };
    let first = format!("browser-{winner}");

    let read = house.store.get_flow_by_state("state-a").await.unwrap().unwrap();
    assert_eq!(read.browser_digest.as_ref(), Some(&first));
    // The same browser may open it again, no other.
    assert!(house.store.bind_browser(&flow, &first).await.unwrap());
    assert!(!house.store.bind_browser(&flow, "another").await.unwrap());
    assert!(house.store.take_flow(&flow).await.unwrap());
    assert!(!house.store.bind_browser(&flow, &first).await.unwrap());
}

async fn a_flow_without_binding_takes_every_browser(kind: Kind) {
    let house = House::new(kind).await;
    let flow = house.flow("ada");
    house.begin(&flow, "a", false).await;
    assert!(house.store.bind_browser(&flow, "one").await.unwrap());
    assert!(house.store.bind_browser(&flow, "two").await.unwrap());
    assert_eq!(house.store.get_flow_by_state("state-a").await.unwrap().unwrap().browser_digest, None);
}

async fn parked(house: &House) -> Flow {
    let flow = begun(house).await;
    let expiry = start() + Duration::seconds(60);
    assert!(
        house.store.park_flow(&flow, &secret("code=c&state=s"), &secret("confirm"), expiry).await.unwrap()
    );
    flow
}

async fn a_parked_flow_needs_its_project_and_its_code(kind: Kind) {
    let house = House::new(kind).await;
    let flow = parked(&house).await;
    let other = add_project(&house.store, "other").await;
    // It does not wait for a callback any more.
    assert!(house.store.get_flow_by_state("state-a").await.unwrap().is_none());
    assert!(!house.store.take_flow(&flow).await.unwrap());
    for (project, id, code) in [
        (&other, flow.id, "confirm"),
        (&house.project, new_id(), "confirm"),
        (&house.project, flow.id, "Confirm"),
        (&house.project, flow.id, ""),
        (&house.project, flow.id, "state-a"),
    ] {
        assert!(house.store.get_parked_flow(project, id, code).await.unwrap().is_none(), "{project} {code}");
        let elsewhere = Flow { id, project_id: project.clone(), ..flow.clone() };
        assert!(!house.store.take_parked_flow(&elsewhere, code).await.unwrap(), "{project} {code}");
    }
    // None of that has spent it.
    let found = house.store.get_parked_flow(&house.project, flow.id, "confirm").await.unwrap().unwrap();
    assert_eq!(found.id, flow.id);
    assert_eq!(found.parked_query.unwrap().expose_secret(), "code=c&state=s");
    assert_eq!(found.code_verifier.unwrap().expose_secret(), "verifier");
    assert_eq!(found.expire_time, start() + Duration::seconds(60));
    assert!(house.store.take_parked_flow(&flow, "confirm").await.unwrap());
}

async fn a_parked_flow_is_taken_once(kind: Kind) {
    let house = House::new(kind).await;
    let flow = parked(&house).await;
    let taken = at_once(20, |_| {
        let (store, flow) = (house.store.clone(), flow.clone());
        async move { store.take_parked_flow(&flow, "confirm").await.unwrap() }
    })
    .await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
}

async fn a_taken_flow_is_not_parked(kind: Kind) {
    let house = House::new(kind).await;
    let flow = begun(&house).await;
    assert!(house.store.take_flow(&flow).await.unwrap());
    let expiry = flow.expire_time;
    assert!(!house.store.park_flow(&flow, &secret("code=c"), &secret("confirm"), expiry).await.unwrap());
    assert!(!house.store.take_parked_flow(&flow, "confirm").await.unwrap());

    let house = House::new(kind).await;
    let flow = parked(&house).await;
    assert!(!house.store.park_flow(&flow, &secret("code=d"), &secret("other"), expiry).await.unwrap());
    let found = house.store.get_parked_flow(&house.project, flow.id, "confirm").await.unwrap().unwrap();
    assert_eq!(found.parked_query.unwrap().expose_secret(), "code=c&state=s");
}

async fn the_parked_code_is_wiped_when_it_is_taken(kind: Kind) {
    let house = House::new(kind).await;
    let flow = parked(&house).await;
    let sealed: Option<Vec<u8>> = house.value("SELECT parked_query FROM flows").await;
    assert!(sealed.is_some());
    assert!(house.store.take_parked_flow(&flow, "confirm").await.unwrap());
    let sealed: Option<Vec<u8>> = house.value("SELECT parked_query FROM flows").await;
    assert_eq!(sealed, None);
    let sealed: Option<Vec<u8>> = house.value("SELECT code_verifier FROM flows").await;
    assert_eq!(sealed, None);
}

async fn a_parked_code_that_nobody_confirms_is_wiped(kind: Kind) {
    let house = House::new(kind).await;
    let flow = parked(&house).await;
    let expiry = start() + Duration::seconds(60);
    assert_eq!(house.store.wipe_expired(expiry - Duration::MICROSECOND).await.unwrap(), 0);
    assert_eq!(house.store.wipe_expired(expiry).await.unwrap(), 1);
    let sealed: Option<Vec<u8>> = house.value("SELECT parked_query FROM flows").await;
    assert_eq!(sealed, None);
    // It is still there, to be told that it has expired.
    assert!(house.store.get_parked_flow(&house.project, flow.id, "confirm").await.unwrap().is_some());
}

async fn only_expired_flows_are_purged(kind: Kind) {
    let house = House::new(kind).await;
    for (word, minutes) in [("old", 0), ("new", 5)] {
        let expire_time = start() + Duration::minutes(minutes) + FLOW_TTL;
        house.begin(&Flow { expire_time, ..house.flow(word) }, word, true).await;
    }
    let (store, expiry) = (&house.store, start() + FLOW_TTL);
    assert_eq!(store.purge_flows(expiry, 10).await.unwrap(), 0);
    assert_eq!(store.purge_flows(expiry + Duration::MICROSECOND, 10).await.unwrap(), 1);
    assert!(store.get_flow_by_state("state-old").await.unwrap().is_none());
    assert!(store.get_flow_by_state("state-new").await.unwrap().is_some());
}

async fn flows_go_with_their_integration(kind: Kind) {
    let house = House::new(kind).await;
    let flow = begun(&house).await;
    assert!(house.store.delete_integration(&house.project, &house.integration.id).await.unwrap());
    assert!(house.store.get_flow_by_state("state-a").await.unwrap().is_none());
    assert_eq!(house.store.get_flow_project(flow.id).await.unwrap(), None);
}
