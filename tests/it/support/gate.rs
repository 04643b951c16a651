//! A gate before the token endpoint, or another one: a test holds requests there while it does something else.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Open at first. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    arrived: Arc<watch::Sender<usize>>,
    passes: Arc<AtomicBool>,
    delay: Arc<watch::Sender<Duration>>,
    path: Arc<Mutex<&'static str>>,
}

impl Gate {
    pub fn new() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(true)),
            arrived: Arc::default(),
            passes: Arc::default(),
            delay: Arc::default(),
            path: Arc::new(Mutex::new("/token")),
        }
    }

    /// The routes with this gate before them.
    pub fn before(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), Self::pass))
    }

    /// Holds the requests that come to the token endpoint from now on. Counts them from zero.
    pub fn close(&self) {
        self.close_at("/token");
    }

    /// Holds those that come to this path.
    pub fn close_at(&self, path: &'static str) {
        *self.path.lock().unwrap() = path;
        self.arrived.send_replace(0);
        self.open.send_replace(false);
    }

    /// Lets all of them through.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Lets the next one that comes through, uncounted, and none that waits.
    pub fn pass_next(&self) {
        self.passes.store(true, Ordering::SeqCst);
    }

    /// Lets all of them wait for so long when they are through.
    pub fn slow(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// How many have come since the gate was closed.
    pub fn count(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Waits until this many have come.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let waited = timeout(Duration::from_secs(10), arrived.wait_for(|now| *now >= count)).await;
        waited.expect("nothing came to the gate").unwrap();
    }

    async fn pass(State(gate): State<Self>, request: Request, next: Next) -> Response {
        let here = request.uri().path() == *gate.path.lock().unwrap();
        if here && !gate.passes.swap(false, Ordering::SeqCst) {
            gate.arrived.send_modify(|count| *count += 1);
            gate.open.subscribe().wait_for(|open| *open).await.unwrap();
            let delay = *gate.delay.borrow();
            sleep(delay).await;
        }
        next.run(request).await
    }
}
