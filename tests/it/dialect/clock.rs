//! Clocks that are off: a provider's, and our own.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokenwell::{
    api::pb::connection::v1::OAuth2Credentials,
    model::{Clock as _, Duration},
};

use super::{ENTRY, completed};
use crate::support::{Acme, TestResult, acme::plain};

const UNTIL: &str = "token_response = { expires_at = \"until\" }\n";

/// How long a token lives whose provider's clock shows this time, which is so many seconds off ours.
async fn lifetime(entry: &str, date: &str, off: i64, answer: impl Fn(i64) -> Value) -> Option<i64> {
    let acme = Acme::new(plain(), &format!("{ENTRY}{entry}")).await;
    let now = acme.clock.now().unix_timestamp();
    let mut answer = answer(now + off);
    answer["token_type"] = "Bearer".into();
    let (_, callback) = acme.callback(&[]).await;
    acme.detour.dated("/token", date, &answer.to_string());
    completed(&acme, &callback).await.unwrap();
    let (_, token) = acme.server.token("acme", "ada").await.unwrap();
    token.expire_time.map(|time| time.seconds - now)
}

/// The test's clock stands at 2026-09-21T14:13:20Z.
const DATES: [(&str, i64, bool); 7] = [
    ("Mon, 21 Sep 2026 14:43:20 GMT", 1800, true),
    ("Mon, 21 Sep 2026 13:43:20 GMT", -1800, true),
    ("Mon, 21 Sep 2026 15:13:20 GMT", 3600, true),
    // What nobody's clock shows.
    ("Mon, 21 Sep 2026 15:13:21 GMT", 3601, false),
    ("Wed, 23 Sep 2026 14:13:20 GMT", 2 * 24 * 3600, false),
    ("no date", 1800, false),
    // As good as ours.
    ("Mon, 21 Sep 2026 14:13:22 GMT", 2, false),
];

#[tokio::test]
async fn an_absolute_time_counts_by_the_clock_of_who_says_it() -> TestResult {
    let jwt = |expiry: i64| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(json!({ "exp": expiry })))
    };
    let hours = 3 * 3600;
    for (date, off, made_up_for) in DATES {
        let expected = Some(if made_up_for { hours } else { hours + off });
        let until = |there: i64| json!({ "access_token": "at", "until": there + hours });
        assert_eq!(lifetime(UNTIL, date, off, until).await, expected, "{date}");
        let by_itself = |there: i64| json!({ "access_token": jwt(there + hours) });
        assert_eq!(lifetime("", date, off, by_itself).await, expected, "{date}");
        // What is told as a lifetime needs no clock.
        let told = |_: i64| json!({ "access_token": "at", "expires_in": 7200 });
        assert_eq!(lifetime("", date, off, told).await, Some(7200), "{date}");
    }
    Ok(())
}

#[tokio::test]
async fn so_does_what_an_introspection_says() -> TestResult {
    let acme =
        Acme::new(plain(), &format!("{ENTRY}introspection_endpoint = \"PROVIDER/introspect\"\n")).await;
    let (_, callback) = acme.callback(&[]).await;
    let now = acme.clock.now();
    let there = (now + Duration::minutes(30)).unix_timestamp();
    let told = json!({ "active": true, "exp": there + 7200 }).to_string();
    acme.detour.dated("/introspect", "Mon, 21 Sep 2026 14:43:20 GMT", &told);
    acme.answer_next(&json!({ "access_token": "at", "token_type": "Bearer" }).to_string());
    completed(&acme, &callback).await?;
    let (_, token) = acme.server.token("acme", "ada").await?;
    assert_eq!(token.expire_time.map(|time| time.seconds - now.unix_timestamp()), Some(7200));
    Ok(())
}

/// As when a server learns of the clock that all share.
#[tokio::test]
async fn a_clock_that_is_put_back_meanwhile_makes_no_token_live_longer() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    let left =
        |token: OAuth2Credentials| token.expire_time.unwrap().seconds - acme.clock.now().unix_timestamp();
    let (_, callback) = acme.callback(&[]).await;
    acme.gate.close();
    let put_back = async {
        acme.gate.arrived(1).await;
        acme.clock.advance(-Duration::MINUTE * 5);
        acme.gate.open();
    };
    let (completed, ()) = tokio::join!(completed(&acme, &callback), put_back);
    completed?;
    assert_eq!(left(acme.server.token("acme", "ada").await?.1), 3600);

    acme.gate.close();
    let put_back = async {
        acme.gate.arrived(1).await;
        acme.clock.advance(-Duration::MINUTE * 5);
        acme.gate.open();
    };
    let (refreshed, ()) = tokio::join!(acme.force(), put_back);
    refreshed?;
    assert_eq!(left(acme.server.token("acme", "ada").await?.1), 3600);
    Ok(())
}
