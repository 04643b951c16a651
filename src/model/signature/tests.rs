//! What signatures cover, how long they hold, and that nothing can move in them.

use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> HmacKey {
    vec![byte; 32].into()
}

/// RFC 4231, section 4, through the same function that signatures use: key, data, and how the MAC begins (case 5) or is.
#[test]
fn the_mac_is_hmac_sha256() {
    let counted: Vec<u8> = (1..=25).collect();
    let long = b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to \
                 be hashed before being used by the HMAC algorithm.";
    let cases: [(&[u8], &[u8], &str); 7] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (&counted, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (&[0xaa; 131], long, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
    ];
    for (index, (key, data, expected)) in cases.into_iter().enumerate() {
        let mut mac = mac(&key.to_vec().into());
        mac.update(data);
        let found = hex::encode(mac.finalize().into_bytes());
        assert_eq!(found[..expected.len()], *expected, "case {}", index + 1);
    }
}

/// `printf 'zendesk:user-1' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`.
#[test]
fn v1_is_what_apps_compute_today() {
    let empty = StringMap::new();
    let signed = signed("zendesk", "user-1", &empty, &empty, &[], "");
    let key = b"0123456789abcdef0123456789abcdef".to_vec().into();
    assert_eq!(signed.sign_v1(&key), "ac857734670383bda3935e2b14466a1ecdf5303762d58c9c2449f8a954682b80");
}

#[test]
fn malformed_signatures_are_none() {
    let hex = "0".repeat(64);
    for bad in [
        String::new(),
        "0".repeat(63),
        "A".repeat(64),
        format!("t=1;v2={hex}"),
        format!("t=,v2={hex}"),
        format!("t=-1,v2={hex}"),
        format!("t=1,v2={hex}0"),
        format!("t=1,v2={hex},v2={hex}"),
        format!("t=9999999999999,v2={hex}"),
        // Another way to write the same one.
        format!("t=01,v2={hex}"),
        format!("t=1,n=,v2={hex}"),
        format!("t=1,n=a b,v2={hex}"),
        format!("t=1,n=a,n=b,v2={hex}"),
        format!("t=1,v2={hex},n=a"),
        format!("n=a,t=1,v2={hex}"),
        format!("t=1,n={},v2={hex}", "a".repeat(65)),
    ] {
        assert!(Signature::parse(&bad).is_none(), "{bad}");
    }
    for good in [String::new(), ",n=a".to_owned(), format!(",n={}", "Az9-_".repeat(12))] {
        assert!(Signature::parse(&format!("t=1{good},v2={hex}")).is_some(), "{good}");
    }
}

/// With a minute for clocks that differ, at both ends.
#[test]
fn v2_expires_and_may_not_outlive_its_limit() {
    let empty = StringMap::new();
    let signed = signed("a", "b", &empty, &empty, &[], "");
    let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
    for lifetime in [SIGNATURE_LIFETIME, MAX_SIGNATURE_LIFETIME, Duration::minutes(1)] {
        let verify = |left: i64| {
            let text = signed.sign_v2(&key(1), now.unix_timestamp() + left, "n");
            let signature = Signature::parse(&text);
            signature.is_some_and(|it| it.verify(&signed, &[key(2), key(1)], lifetime, now))
        };
        let most = lifetime.whole_seconds() + 60;
        assert!(verify(-60) && verify(0) && verify(1) && verify(most));
        assert!(!verify(-61) && !verify(most + 1));
    }
}

#[test]
fn a_use_is_of_one_signature_and_shows_none() {
    let empty = StringMap::new();
    let signed = signed("a", "b", &empty, &empty, &[], "");
    let once = |text: &str| Signature::parse(text).and_then(|it| it.once());
    let texts = [("x", 7), ("y", 7), ("", 7), ("x", 8)].map(|(nonce, t)| signed.sign_v2(&key(1), t, nonce));
    let uses: std::collections::BTreeSet<_> =
        texts.iter().filter_map(|text| Some(once(text)?.as_str().to_owned())).collect();
    assert_eq!(uses.len(), texts.len(), "two share a use");
    for text in &texts {
        let mac = text.rsplit_once('=').map(|(_, mac)| mac).unwrap_or_default();
        assert!(!uses.contains(mac) && mac.len() == 64);
        assert!(!format!("{:?}", Signature::parse(text)).contains(&mac[..16]));
    }
    assert_eq!(once(&signed.sign_v1(&key(1))), None);
}

fn signed<'a>(
    integration_id: &'a str,
    connection_id: &'a str,
    connection_config: &'a StringMap,
    authorization_params: &'a StringMap,
    scopes: &'a [String],
    return_url: &'a str,
) -> Signed<'a> {
    Signed {
        project_id: "default",
        integration_id,
        connection_id,
        connection_config,
        authorization_params,
        scopes,
        user_scopes: &[],
        return_url,
    }
}

prop_compose! {
    fn request()(
        ids in ("[a-c]{0,3}", "[a-c:]{0,3}"),
        maps in (proptest::collection::btree_map("[a-b]{0,2}", "[a-b:,0-9]{0,3}", 0..3),
                 proptest::collection::btree_map("[a-b]{0,2}", "[a-b:,0-9]{0,3}", 0..3)),
        scopes in proptest::collection::vec("[a-b:,]{0,2}", 0..3),
        return_url in "[a-b:,]{0,2}",
    ) -> (String, String, StringMap, StringMap, Vec<String>, String) {
        (ids.0, ids.1, maps.0, maps.1, scopes, return_url)
    }
}

proptest! {
    /// Whatever differs between two requests, even a byte moved over a field's boundary, their v2 signatures differ.
    #[test]
    fn v2_covers_everything(a in request(), b in request()) {
        let left = signed(&a.0, &a.1, &a.2, &a.3, &a.4, &a.5);
        let right = signed(&b.0, &b.1, &b.2, &b.3, &b.4, &b.5);
        prop_assert_eq!(left.sign_v2(&key(1), 7, "n") == right.sign_v2(&key(1), 7, "n"), a == b);
    }

    /// One text, cut at two places into neighbouring fields: another cut is another signature, whichever fields they are.
    #[test]
    fn no_byte_moves_over_a_boundary(text in "[a-b0-9:,]{1,12}", cuts in (0..12usize, 0..12usize), pair in 0..5usize) {
        let at = |cut: usize| text.split_at(cut.min(text.len()));
        let sign = |(left, right): (&str, &str)| {
            let empty = StringMap::new();
            let map = |key: &str, value: &str| StringMap::from([(key.to_owned(), value.to_owned())]);
            let list = [left.to_owned(), right.to_owned()];
            let of = |config: &StringMap, params: &StringMap, scopes: &[String], (integration, connection, url)| {
                signed(integration, connection, config, params, scopes, url).sign_v2(&key(1), 7, "n")
            };
            match pair {
                0 => of(&empty, &empty, &[], (left, right, "")),
                1 => of(&map(left, right), &empty, &[], ("", "", "")),
                2 => of(&map("", left), &map(right, ""), &[], ("", "", "")),
                3 => of(&empty, &empty, &list, ("", "", "")),
                _ => of(&empty, &empty, &list[..1], ("", "", right)),
            }
        };
        let (one, other) = (at(cuts.0), at(cuts.1));
        prop_assert_eq!(sign(one) == sign(other), one == other);
    }
}
