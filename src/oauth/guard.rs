//! Where requests may lead. A name is resolved once for a connection; each of its addresses is judged, and what is connected
//! to is one that passed: a name server that says something else a moment later is not asked.

use std::{error::Error as StdError, net::SocketAddr, sync::Arc};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::Failure;
use crate::model::{Reach, is_loopback};

/// Resolves names to addresses that may be called.
pub(super) struct Guard {
    pub(super) reach: Reach,
    /// How, if not by the system.
    pub(super) resolver: Option<Arc<dyn Resolve>>,
}

/// A name has addresses, and none of them may be called.
#[derive(Debug, thiserror::Error)]
#[error("no address of the host may be called")]
struct Barred;

// === impl Guard ===

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let found = match &self.resolver {
            Some(resolver) => resolver.resolve(name),
            None => resolve_by_system(name),
        };
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            let allowed: Vec<_> = found.iter().copied().filter(|it| reach.allows(it.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Barred.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn resolve_by_system(name: Name) -> Resolving {
    Box::pin(async move {
        let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
        Ok(Box::new(found.into_iter()) as Addrs)
    })
}

/// Judges what a URL says itself: an address in it is never resolved, and so nobody else judges it.
pub(super) fn check(url: &Url, reach: Reach) -> Result<(), Failure> {
    if !reach.allows_host_of(url) {
        return Err(Failure::Barred);
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url)) {
        return Err(Failure::unsent("its address is not https"));
    }
    Ok(())
}

/// Whether a request failed since its host has no address that may be called.
pub(super) fn was_barred(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |error| (*error).source()).any(<dyn StdError>::is::<Barred>)
}

#[cfg(test)]
mod tests {
    use std::{
        net::IpAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Says one thing first, and another thing to whoever asks again.
    struct Rebinding {
        answers: [Vec<&'static str>; 2],
        asked: AtomicUsize,
    }

    impl Resolve for Rebinding {
        fn resolve(&self, _: Name) -> Resolving {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers[asked.min(1)].clone();
            let addresses = answer.into_iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0));
            let addresses: Addrs = Box::new(addresses);
            Box::pin(async move { Ok(addresses) })
        }
    }

    async fn allowed(guard: &Guard) -> Result<Vec<IpAddr>, bool> {
        let found = guard.resolve("provider.example".parse().unwrap()).await;
        found.map(|found| found.map(|it| it.ip()).collect()).map_err(|error| error.is::<Barred>())
    }

    fn guard(reach: Reach, answers: [&[&'static str]; 2]) -> (Guard, Arc<Rebinding>) {
        let resolver =
            Arc::new(Rebinding { answers: answers.map(<[_]>::to_vec), asked: AtomicUsize::new(0) });
        (Guard { reach, resolver: Some(resolver.clone()) }, resolver)
    }

    #[tokio::test]
    async fn a_name_that_is_rebound_leads_nowhere_else() {
        let (guard, resolver) = guard(Reach::default(), [&["1.1.1.1"], &["127.0.0.1"]]);
        assert_eq!(allowed(&guard).await, Ok(vec!["1.1.1.1".parse().unwrap()]));
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 1, "what was judged is what is connected to");
        assert_eq!(allowed(&guard).await, Err(true), "the next connection is judged anew");
    }

    #[tokio::test]
    async fn of_mixed_addresses_the_public_ones_are_left() {
        let mixed: &[_] = &["10.0.0.1", "1.1.1.1", "::1", "169.254.169.254", "2606:4700:4700::1111"];
        let public = ["1.1.1.1", "2606:4700:4700::1111"].map(|it| it.parse::<IpAddr>().unwrap());
        assert_eq!(allowed(&guard(Reach::default(), [mixed, &[]]).0).await, Ok(public.to_vec()));
        let private = Reach { private: true, loopback: false };
        let with_private = allowed(&guard(private, [mixed, &[]]).0).await.unwrap();
        assert_eq!(with_private.len(), 3, "{with_private:?}");
        assert_eq!(allowed(&guard(Reach::default(), [&[], &[]]).0).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn the_systems_answers_are_judged_like_any_others() {
        let of = |loopback| Guard { reach: Reach { private: false, loopback }, resolver: None };
        let localhost = "localhost".parse::<Name>().unwrap();
        assert!(of(true).resolve(localhost).await.unwrap().all(|it| it.ip().is_loopback()));
        let localhost = "localhost".parse::<Name>().unwrap();
        assert!(of(false).resolve(localhost).await.is_err_and(|error| error.is::<Barred>()));
    }
}
