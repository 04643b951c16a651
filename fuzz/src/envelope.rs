//! A sealed envelope: what was sealed opens, and nothing else does.

use std::sync::LazyLock;

use tokenwell::store::{
    KeyRing,
    fuzzing::{open, seal},
};

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let keys =
        "new:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nold:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    KeyRing::parse(&keys.into()).unwrap()
});

/// The bytes are an envelope, which nobody sealed. Then they are sealed, and altered where the first two say.
pub fn run(data: &[u8]) {
    assert_eq!(open(&RING, data), None, "a forged envelope opens");
    let sealed = seal(&RING, data).unwrap();
    assert_eq!(open(&RING, &sealed).as_deref(), Some(data));
    let [place, change, ..] = *data else { return };
    let mut altered = sealed.clone();
    let place = usize::from(place) % altered.len();
    altered[place] ^= change.max(1);
    assert_eq!(open(&RING, &altered), None, "an altered envelope opens: {place}, {change}");
    assert_eq!(open(&RING, &sealed[..place]), None, "a short envelope opens: {place}");
    let longer = [sealed.as_slice(), &[change]].concat();
    assert_eq!(open(&RING, &longer), None, "a longer envelope opens");
}
