//! A browser without a screen: keeps cookies per origin, follows redirects one by one, fills in forms.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::{Method, Response, StatusCode, dns::Resolve, header, redirect::Policy};
use url::Url;

/// A browser.
pub struct Browser {
    client: reqwest::Client,
    cookies: BTreeMap<(String, String), String>,
}

/// What a request came to.
#[derive(Debug)]
pub struct Answer {
    pub url: Url,
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub body: String,
}

impl Browser {
    /// A browser that knows no name server but the system's.
    pub fn new() -> Self {
        Self::with(&[], None)
    }

    /// A browser that trusts these authorities and resolves names like this.
    #[expect(clippy::disallowed_methods, reason = "a browser is not Tokenwell's client")]
    pub fn with(roots: &[Vec<u8>], resolver: Option<Arc<dyn Resolve>>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let roots = roots.iter().map(|pem| reqwest::Certificate::from_pem(pem).unwrap());
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .tls_certs_merge(roots.collect::<Vec<_>>());
        if let Some(resolver) = resolver {
            builder = builder.dns_resolver(resolver);
        }
        Self { client: builder.build().unwrap(), cookies: BTreeMap::new() }
    }

    /// One GET, without following redirects, but for the one that brings a cookie and leads to the same place, and the one from a
    /// callback to the page that shows what came of it.
    pub async fn get(&mut self, url: &str) -> Answer {
        let answer = self.step(url).await;
        match answer.same_place().or_else(|| answer.result_page()) {
            Some(page) => self.step(page.as_str()).await,
            None => answer,
        }
    }

    /// One GET, without following any redirect.
    pub async fn step(&mut self, url: &str) -> Answer {
        self.send(Method::GET, url, None).await
    }

    /// One POST of a form, without following redirects.
    pub async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Method::POST, url, Some(body)).await
    }

    /// One request with headers of the test's own, and what a callback then shows.
    pub async fn send_with(&mut self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        let answer = self.step_with(method, url, headers).await;
        match answer.same_place().or_else(|| answer.result_page()) {
            Some(page) => self.step_with(Method::GET, page.as_str(), headers).await,
            None => answer,
        }
    }

    async fn step_with(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::answer(request.send().await.unwrap()).await
    }

    /// GETs until something is no redirect, or until a redirect leads to where `stop` says.
    pub async fn follow(&mut self, start: Answer, stop: impl Fn(&Url) -> bool) -> Answer {
        let mut answer = start;
        for _ in 0..20 {
            let Some(next) = answer.location() else { return answer };
            if stop(&next) {
                return answer;
            }
            answer = self.get(next.as_str()).await;
        }
        panic!("too many redirects, the last to {}", answer.url);
    }

    /// Opens a page and follows redirects to the end.
    pub async fn open(&mut self, url: &str) -> Answer {
        let start = self.get(url).await;
        self.follow(start, |_| false).await
    }

    /// Presses a button of the sandbox's consent page. Gives the redirect back to the client, which is not followed.
    pub async fn decide(&mut self, consent: &Answer, decision: &str) -> Answer {
        let (_, rest) =
            consent.body.split_once("name=\"consent\" value=\"").expect("this is no consent page");
        let id = rest.split('"').next().unwrap().to_owned();
        let mut action = consent.url.clone();
        action.set_query(None);
        let form = [("consent", id.as_str()), ("account", "ada@example.com"), ("decision", decision)];
        self.post(action.as_str(), &form).await
    }

    /// The cookie of this name for this URL's origin.
    pub fn cookie(&self, url: &str, name: &str) -> Option<&String> {
        let origin = Url::parse(url).unwrap().origin().ascii_serialization();
        self.cookies.get(&(origin, name.to_owned()))
    }

    async fn send(&mut self, method: Method, url: &str, form: Option<String>) -> Answer {
        let origin = Url::parse(url).unwrap().origin().ascii_serialization();
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<_> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = self.client.request(method, url);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(form) = form {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        }
        let answer = Self::answer(request.send().await.unwrap()).await;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(&(origin.clone(), name.to_owned()));
            } else {
                self.cookies.insert((origin.clone(), name.to_owned()), value.to_owned());
            }
        }
        answer
    }

    async fn answer(response: Response) -> Answer {
        Answer {
            url: response.url().clone(),
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }
}

impl Answer {
    /// Where a redirect leads.
    pub fn location(&self) -> Option<Url> {
        let location = self.headers.get(header::LOCATION)?.to_str().ok()?;
        self.status.is_redirection().then(|| self.url.join(location).unwrap())
    }

    /// The page that shows what came of a callback, if this answer leads there: at this server, which is behind no proxy here.
    fn result_page(&self) -> Option<Url> {
        let next = self.location().filter(|_| self.status == StatusCode::SEE_OTHER);
        let next = next.filter(|next| next.path().starts_with("/oauth/result/"))?;
        self.url.join(next.path()).ok()
    }

    /// Where a browser without a cookie is sent to come again with the one that it has just been given.
    fn same_place(&self) -> Option<Url> {
        let next = self.location().filter(|next| next.path() == self.url.path())?;
        next.query_pairs().any(|(name, _)| name == "tokenwell_again").then_some(next)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// An attribute of the result page.
    pub fn result(&self, attribute: &str) -> &str {
        let marker = format!("{attribute}=\"");
        self.body.split_once(&marker).map_or("", |(_, rest)| rest.split('"').next().unwrap())
    }
}
