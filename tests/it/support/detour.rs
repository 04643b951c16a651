//! Answers that a test puts in the place of a provider's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};

/// No answers at first. Clones are the same detour.
#[derive(Debug, Clone, Default)]
pub struct Detour(Arc<Mutex<BTreeMap<String, Answer>>>);

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    body: String,
    header: Option<(HeaderName, String)>,
    /// How many more requests it answers.
    left: u64,
}

impl Detour {
    /// The routes with this detour before them.
    pub fn before(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), Self::pass))
    }

    /// Answers requests for a path with this status and this JSON from now on.
    pub fn answer(&self, path: &str, status: u16, body: &str) {
        self.answer_times(path, status, body, u64::MAX);
    }

    /// Answers so many requests like that.
    pub fn answer_times(&self, path: &str, status: u16, body: &str, left: u64) {
        self.put(path, Answer { status, body: body.to_owned(), header: None, left });
    }

    /// Answers with status 503 and this `Retry-After` from now on.
    pub fn retry_after(&self, path: &str, value: &str) {
        let header = Some((header::RETRY_AFTER, value.to_owned()));
        self.put(path, Answer { status: 503, body: "{}".to_owned(), header, left: u64::MAX });
    }

    /// Answers with this JSON, and says that it is this date, from now on.
    pub fn dated(&self, path: &str, date: &str, body: &str) {
        let header = Some((header::DATE, date.to_owned()));
        self.put(path, Answer { status: 200, body: body.to_owned(), header, left: u64::MAX });
    }

    /// Redirects with this status from now on.
    pub fn redirect(&self, path: &str, status: u16, location: &str) {
        let header = Some((header::LOCATION, location.to_owned()));
        self.put(path, Answer { status, body: "{}".to_owned(), header, left: u64::MAX });
    }

    fn put(&self, path: &str, answer: Answer) {
        self.0.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Leads requests for a path to the provider again.
    pub fn end(&self, path: &str) {
        self.0.lock().unwrap().remove(path);
    }

    fn take(&self, path: &str) -> Option<Answer> {
        let mut answers = self.0.lock().unwrap();
        let answer = answers.get_mut(path).filter(|answer| answer.left > 0)?;
        answer.left -= 1;
        Some(answer.clone())
    }

    async fn pass(State(detour): State<Self>, request: Request, next: Next) -> Response {
        match detour.take(request.uri().path()) {
            Some(Answer { status, body, header: further, .. }) => {
                let json = [(header::CONTENT_TYPE, "application/json")];
                let mut response = (StatusCode::from_u16(status).unwrap(), json, body).into_response();
                let headers = response.headers_mut();
                headers.extend(further.map(|(name, value)| (name, value.parse().unwrap())));
                response
            }
            None => next.run(request).await,
        }
    }
}
