//! Signatures: one that was made holds for what it was made for, and no other text does.

use tokenwell::model::{HmacKey, SIGNATURE_LIFETIME, Signature, Signed, StringMap, is_nonce};

use super::{NOW, choice, now};

/// The bytes are a signature, which nobody made. Then they are what is signed, line by line, and how that is altered.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key: HmacKey = vec![7; 32].into();
    let keys = [key];
    let holds = |text: &str, signed: &Signed<'_>| {
        let signature = Signature::parse(text);
        signature.is_some_and(|signature| signature.verify(signed, &keys, SIGNATURE_LIFETIME, now()))
    };
    let lines: Vec<_> = text.splitn(8, '\n').collect();
    let line = |number: usize| lines.get(number).copied().unwrap_or_default();
    let map = |text: &str| -> StringMap {
        let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let list = |text: &str| -> Vec<String> {
        text.split(' ').filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    let (config, params) = (map(line(3)), map(line(4)));
    let (scopes, user_scopes) = (list(line(5)), list(line(6)));
    let signed = Signed {
        project_id: line(0),
        integration_id: line(1),
        connection_id: line(2),
        connection_config: &config,
        authorization_params: &params,
        scopes: &scopes,
        user_scopes: &user_scopes,
        return_url: line(7),
    };
    assert!(!holds(text, &signed), "a forged signature holds: {text:?}");

    let nonce = line(1);
    let nonce = if is_nonce(nonce) { nonce } else { "" };
    let made = signed.sign_v2(&keys[0], NOW + 60, nonce);
    assert!(holds(&made, &signed), "{made} does not hold");
    // Another field, or the same bytes in other fields.
    let longer = format!("{}x", line(7));
    let moved = format!("{}{}", line(1), line(2));
    for other in [
        Signed { return_url: &longer, ..signed },
        Signed { return_url: line(2), connection_id: line(7), ..signed },
        Signed { integration_id: &moved, connection_id: "", ..signed },
        Signed { connection_config: &params, authorization_params: &config, ..signed },
        Signed { scopes: &user_scopes, user_scopes: &scopes, ..signed },
    ] {
        assert!(same(&other, &signed) || !holds(&made, &other), "{made} holds for {other:?}");
    }
    // Another text, but for one that says the same.
    let (place, _) = choice(data);
    let mut altered = made.clone().into_bytes();
    let place = place % altered.len();
    altered[place] = altered[place].wrapping_add(1);
    let altered = String::from_utf8_lossy(&altered);
    assert!(!holds(&altered, &signed), "{altered} holds");
}

fn same(one: &Signed<'_>, other: &Signed<'_>) -> bool {
    format!("{one:?}") == format!("{other:?}")
}
