//! Failpoints of a test build.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, RangeBounds},
    str::FromStr,
    sync::Arc,
};

use tokio::sync::watch;

use super::{Defence, Point};
use crate::model::{Error, Result};

/// The failpoints of one server. Clones are the same ones; each server has its own.
///
/// As text, which is how a process is told: `refresh.before_call=abort@3,refresh.before_commit=fail@1-2,lease=off`. `@3`
/// means the third visit, `@1-2` the first two; without it, all.
#[derive(Debug, Clone)]
pub struct Failpoints {
    state: Arc<watch::Sender<State>>,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The process ends at once, as by SIGKILL: nothing is cleaned up.
    Abort,
    /// The visitor waits until the point is released.
    Hold,
    /// The visitor panics.
    Panic,
    /// The visitor gets [`Error::StoreUnavailable`].
    Fail,
}

#[derive(Debug, Default)]
struct State {
    points: BTreeMap<Point, Visits>,
    disabled: BTreeSet<Defence>,
}

#[derive(Debug, Default)]
struct Visits {
    count: u64,
    /// Visits up to this one are not held any more.
    released: u64,
    rule: Option<(Action, Span)>,
}

type Span = (Bound<u64>, Bound<u64>);

const POINTS: [(&str, Point); 5] = [
    ("refresh.before_call", Point::RefreshBeforeCall),
    ("refresh.after_answer", Point::RefreshAfterAnswer),
    ("refresh.before_commit", Point::RefreshBeforeCommit),
    ("refresh.after_commit", Point::RefreshAfterCommit),
    ("redeem.after_exchange", Point::RedeemAfterExchange),
];
const DEFENCES: [(&str, Defence); 10] = [
    ("coalescing", Defence::Coalescing),
    ("lease", Defence::Lease),
    ("journal", Defence::Journal),
    ("epoch", Defence::Epoch),
    ("reread", Defence::Reread),
    ("backoff", Defence::Backoff),
    ("owned_task", Defence::OwnedTask),
    ("heartbeat", Defence::Heartbeat),
    ("takeover", Defence::Takeover),
    ("clock", Defence::Clock),
];
const ACTIONS: [(&str, Action); 4] =
    [("abort", Action::Abort), ("hold", Action::Hold), ("panic", Action::Panic), ("fail", Action::Fail)];

// === impl Failpoints ===

impl Failpoints {
    /// What the code says when it comes to a point.
    ///
    /// # Panics
    ///
    /// If that is what a test has set for the point.
    pub async fn reached(&self, point: Point) -> Result<()> {
        let (mut visit, mut action) = (0, None);
        self.state.send_modify(|state| {
            let visits = state.points.entry(point).or_default();
            visits.count += 1;
            visit = visits.count;
            action = visits.rule.filter(|(_, span)| span.contains(&visit)).map(|(action, _)| action);
        });
        match action {
            None => Ok(()),
            Some(Action::Abort) => std::process::abort(),
            Some(Action::Panic) => panic!("at a failpoint"),
            Some(Action::Fail) => Err(Error::StoreUnavailable(format!("failpoint {point:?}").into())),
            Some(Action::Hold) => {
                let mut state = self.state.subscribe();
                // Fails if nobody is left who could release it: then this server is gone, too.
                drop(state.wait_for(|state| state.of(point).is_some_and(|it| it.released >= visit)).await);
                Ok(())
            }
        }
    }

    /// Whether a defence is off.
    #[must_use]
    pub fn disabled(&self, defence: Defence) -> bool {
        self.state.borrow().disabled.contains(&defence)
    }

    /// Lets something happen at these visits of a point: `..` all, `3..=3` the third. Visits are counted from the server's
    /// start. What was set for the point before ends; who is held there stays so.
    pub fn set(&self, point: Point, action: Action, visits: impl RangeBounds<u64>) {
        let span = (visits.start_bound().cloned(), visits.end_bound().cloned());
        self.state.send_modify(|state| state.points.entry(point).or_default().rule = Some((action, span)));
    }

    /// Lets nothing happen at a point any more, and all go on who are held there.
    pub fn release(&self, point: Point) {
        self.state.send_modify(|state| {
            let visits = state.points.entry(point).or_default();
            visits.released = visits.count;
            visits.rule = None;
        });
    }

    /// How often a point was visited.
    #[must_use]
    pub fn visits(&self, point: Point) -> u64 {
        self.state.borrow().of(point).map_or(0, |visits| visits.count)
    }

    /// Waits until a point was visited this often.
    pub async fn visited(&self, point: Point, times: u64) {
        let mut state = self.state.subscribe();
        drop(state.wait_for(|state| state.of(point).is_some_and(|visits| visits.count >= times)).await);
    }

    /// Switches a defence off.
    pub fn disable(&self, defence: Defence) {
        self.state.send_modify(|state| {
            state.disabled.insert(defence);
        });
    }

    /// Switches it on again.
    pub fn enable(&self, defence: Defence) {
        self.state.send_modify(|state| {
            state.disabled.remove(&defence);
        });
    }
}

impl Default for Failpoints {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::default()) }
    }
}

impl FromStr for Failpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let failpoints = Self::default();
        for rule in text.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            let (name, what) = rule.split_once('=').ok_or_else(|| format!("`{rule}` has no `=`"))?;
            if let Some(defence) = named(&DEFENCES, name) {
                if what != "off" {
                    return Err(format!("the defence `{name}` can only be `off`"));
                }
                failpoints.disable(defence);
                continue;
            }
            let point =
                named(&POINTS, name).ok_or_else(|| format!("no point or defence is called `{name}`"))?;
            let (action, visits) = match what.split_once('@') {
                Some((action, visits)) => (action, span(visits)?),
                None => (what, (Bound::Unbounded, Bound::Unbounded)),
            };
            let action = named(&ACTIONS, action).ok_or_else(|| format!("no action is called `{action}`"))?;
            failpoints.set(point, action, visits);
        }
        Ok(failpoints)
    }
}

// === impl State ===

impl State {
    fn of(&self, point: Point) -> Option<&Visits> {
        self.points.get(&point)
    }
}

fn named<T: Copy>(known: &[(&str, T)], name: &str) -> Option<T> {
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn span(text: &str) -> Result<Span, String> {
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number of a visit"));
    Ok(match text.split_once('-') {
        None => (Bound::Included(number(text)?), Bound::Included(number(text)?)),
        Some((first, last)) => (Bound::Included(number(first)?), Bound::Included(number(last)?)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const POINT: Point = Point::RefreshBeforeCommit;

    async fn failures(failpoints: &Failpoints, visits: u64) -> Vec<u64> {
        let mut failed = Vec::new();
        for visit in 1..=visits {
            match failpoints.reached(POINT).await {
                Ok(()) => {}
                Err(Error::StoreUnavailable(_)) => failed.push(visit),
                Err(other) => panic!("{other:?}"),
            }
        }
        failed
    }

    #[tokio::test]
    async fn nothing_happens_where_nothing_is_set() {
        let failpoints = Failpoints::default();
        failpoints.set(Point::RefreshBeforeCall, Action::Fail, ..);
        assert!(failures(&failpoints, 3).await.is_empty());
        assert_eq!((failpoints.visits(POINT), failpoints.visits(Point::RefreshBeforeCall)), (3, 0));
    }

    #[tokio::test]
    async fn the_visits_that_fail_are_those_that_were_named() {
        for (text, expected) in [
            ("refresh.before_commit=fail", vec![1, 2, 3, 4]),
            ("refresh.before_commit=fail@3", vec![3]),
            (" refresh.before_commit=fail@1-2, refresh.after_commit=panic,", vec![1, 2]),
            ("", vec![]),
        ] {
            assert_eq!(failures(&text.parse().unwrap(), 4).await, expected, "{text}");
        }
        let failpoints = Failpoints::default();
        failpoints.set(POINT, Action::Fail, ..2);
        assert_eq!(failures(&failpoints, 4).await, [1]);
        failpoints.set(POINT, Action::Fail, ..);
        failpoints.release(POINT);
        assert!(failures(&failpoints, 2).await.is_empty());
    }

    #[tokio::test]
    async fn who_is_held_waits_for_the_release_and_no_longer() {
        let failpoints = Failpoints::default();
        failpoints.set(POINT, Action::Hold, ..=2);
        let held = |failpoints: Failpoints| tokio::spawn(async move { failpoints.reached(POINT).await });
        let (first, second) = (held(failpoints.clone()), held(failpoints.clone()));
        failpoints.visited(POINT, 2).await;
        // The third is not held, though the others still are.
        failpoints.reached(POINT).await.unwrap();
        let mut first = first;
        assert!(timeout(Duration::from_millis(20), &mut first).await.is_err());
        failpoints.release(POINT);
        failpoints.set(POINT, Action::Hold, ..);
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert!(timeout(Duration::from_millis(20), failpoints.reached(POINT)).await.is_err());
    }

    #[tokio::test]
    async fn a_visitor_can_be_made_to_panic() {
        let failpoints: Failpoints = "redeem.after_exchange=panic@1".parse().unwrap();
        let visit = {
            let failpoints = failpoints.clone();
            tokio::spawn(async move { failpoints.reached(Point::RedeemAfterExchange).await })
        };
        assert!(visit.await.unwrap_err().is_panic());
        failpoints.reached(Point::RedeemAfterExchange).await.unwrap();
    }

    #[test]
    fn defences_are_on_until_they_are_switched_off() {
        let failpoints: Failpoints = "lease=off".parse().unwrap();
        let clone = failpoints.clone();
        assert!(clone.disabled(Defence::Lease) && !clone.disabled(Defence::Epoch));
        failpoints.enable(Defence::Lease);
        failpoints.disable(Defence::Epoch);
        assert!(!clone.disabled(Defence::Lease) && clone.disabled(Defence::Epoch));
        assert!(!Failpoints::default().disabled(Defence::Epoch), "another server has its own");
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for text in [
            "lease",
            "lease=on",
            "leases=off",
            "refresh.before_cal=fail",
            "refresh.before_call=off",
            "refresh.before_call=fail@",
            "refresh.before_call=fail@x",
            "refresh.before_call=fail@1-",
        ] {
            assert!(text.parse::<Failpoints>().is_err(), "{text}");
        }
    }
}
