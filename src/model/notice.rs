//! The end of what can be renewed, and when it is told that it comes near.

use time::{Duration, OffsetDateTime};

use super::{GrantType, TokenSet};

/// How long before the end it is told, and at the most which part of the life before it.
const AHEAD: Duration = Duration::days(7);
const PART: i32 = 5;
/// An end of lives that are shorter is not told: nobody could act in time. What servers renew unasked has its end moved, or not,
/// long before; what nobody can renew is mostly meant to end.
const SHORTEST_RENEWABLE: Duration = Duration::hours(1);
const SHORTEST_FIXED: Duration = Duration::days(1);
/// Ends that are no further apart are one and the same: a provider counts in seconds, and its answer takes its time.
const SAME: Duration = Duration::minutes(1);

/// When the credentials of a connection end for good unless that end is moved, and when it is told that it comes near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// The end: of the refresh token, or of an access token that nothing renews.
    pub end: OffsetDateTime,
    /// When it is told. Nothing: it has been.
    pub time: Option<OffsetDateTime>,
}

impl Notice {
    /// That of new tokens, whose life began then. None: their end is not known, or not worth telling.
    #[must_use]
    pub fn of(tokens: &TokenSet, grant_type: GrantType, since: OffsetDateTime) -> Option<Self> {
        let end = end_of(tokens, grant_type)?;
        let shortest = if tokens.refresh_token.is_some() { SHORTEST_RENEWABLE } else { SHORTEST_FIXED };
        let life = end - since;
        (life > shortest).then(|| Self { end, time: Some(end - AHEAD.min(life / PART)) })
    }

    /// That of tokens which replace others: the old one while the end stays where it is, so that it is told once.
    #[must_use]
    pub fn after(
        old: Option<Self>,
        tokens: &TokenSet,
        grant_type: GrantType,
        since: OffsetDateTime,
    ) -> Option<Self> {
        let end = end_of(tokens, grant_type);
        // Compared with the end that the notice was made for, so that many small steps are a move, too.
        let stays = old.zip(end).is_some_and(|(old, end)| old.is_of(end));
        if stays { old } else { Self::of(tokens, grant_type, since) }
    }

    /// Whether it was made for this end.
    #[must_use]
    pub fn is_of(&self, end: OffsetDateTime) -> bool {
        (self.end - end).abs() <= SAME
    }
}

fn end_of(tokens: &TokenSet, grant_type: GrantType) -> Option<OffsetDateTime> {
    match (&tokens.refresh_token, grant_type) {
        (Some(_), _) => tokens.refresh_token_expire_time,
        (None, GrantType::ClientCredentials) => None,
        (None, _) => tokens.expire_time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn tokens(expires: Option<Duration>, renewable: bool, refresh_expires: Option<Duration>) -> TokenSet {
        TokenSet {
            access_token: "a".into(),
            token_type: "Bearer".to_owned(),
            expire_time: expires.map(|life| START + life),
            refresh_token: renewable.then(|| "r".into()),
            refresh_token_expire_time: refresh_expires.map(|life| START + life),
        }
    }

    /// How long before the end it is told.
    fn ahead(tokens: &TokenSet, grant_type: GrantType) -> Option<Duration> {
        let notice = Notice::of(tokens, grant_type, START)?;
        Some(notice.end - notice.time.unwrap())
    }

    #[test]
    fn the_end_of_what_can_be_renewed_is_told_a_week_or_a_fifth_of_its_life_ahead() {
        use GrantType::{AuthorizationCode as Code, ClientCredentials as Client};

        let (hour, day) = (Duration::hours(1), Duration::days(1));
        let refresh = |life| tokens(Some(hour), true, life);
        assert_eq!(ahead(&refresh(Some(day * 90)), Code), Some(day * 7));
        assert_eq!(ahead(&refresh(Some(day * 30)), Code), Some(day * 6));
        assert_eq!(ahead(&refresh(Some(hour * 10)), Code), Some(hour * 2));
        assert_eq!(ahead(&refresh(Some(hour)), Code), None);
        assert_eq!(ahead(&refresh(None), Code), None);
        let fixed = |life| tokens(life, false, None);
        assert_eq!(ahead(&fixed(Some(day * 60)), Code), Some(day * 7));
        assert_eq!(ahead(&fixed(Some(day * 2)), Code), Some(day * 2 / 5));
        assert_eq!(ahead(&fixed(Some(day)), Code), None);
        assert_eq!(ahead(&fixed(None), Code), None);
        assert_eq!(ahead(&fixed(Some(day * 60)), Client), None);
    }

    #[test]
    fn an_end_that_stays_keeps_its_notice_and_one_that_moves_gets_another() {
        let day = Duration::days(1);
        let at = |life| tokens(None, true, Some(life));
        let after = |old, life, since| Notice::after(old, &at(life), GrantType::AuthorizationCode, since);
        let first = after(None, day * 30, START);
        assert_eq!(first.unwrap().time, Some(START + day * 24));
        let told = first.map(|notice| Notice { time: None, ..notice });
        for seconds in [-60, -1, 0, 1, 60] {
            let again = day * 30 + Duration::seconds(seconds);
            assert_eq!(after(told, again, START + day * 29), told, "{seconds}");
            // Though there is so little time left that nothing would be told of it.
            assert_eq!(after(first, again, START + day * 30 - Duration::MINUTE), first, "{seconds}");
        }
        let moved = after(told, day * 30 + Duration::seconds(61), START + day * 20).unwrap();
        assert_eq!(moved.time, Some(moved.end - (moved.end - START - day * 20) / 5));
        assert_eq!(after(told, day * 10, START + day * 5).unwrap().time, Some(START + day * 9));
        // Step by step.
        let (mut notice, mut end) = (first, day * 30);
        for _ in 0..120 {
            end += Duration::seconds(30);
            notice = after(notice, end, START);
        }
        assert!(notice.unwrap().end > START + day * 30 + Duration::minutes(58), "{notice:?}");
    }
}
