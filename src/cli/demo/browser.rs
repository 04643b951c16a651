//! The browser's part of the demo: follows redirects by hand, keeps cookies, presses Approve.

use std::collections::BTreeMap;

use url::{Url, form_urlencoded};

use super::Failure;
use crate::oauth::{HttpClient, HttpOptions};

const MAX_REDIRECTS: usize = 10;

/// A browser with cookies per origin.
pub(super) struct Browser {
    http: HttpClient,
    cookies: BTreeMap<(String, String), String>,
}

/// Where the browser has arrived.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) body: String,
    /// The redirects on the way.
    pub(super) hops: Vec<Url>,
}

impl Browser {
    /// A browser without cookies.
    pub(super) fn new() -> Result<Self, Failure> {
        let http = HttpOptions { loopback: true, ..HttpOptions::default() };
        Ok(Self { http: HttpClient::new(&http)?, cookies: BTreeMap::new() })
    }

    /// Opens a page.
    pub(super) async fn open(&mut self, url: &str) -> Result<Page, Failure> {
        self.go(Url::parse(url)?, None).await
    }

    /// Presses the consent page's button Approve.
    pub(super) async fn approve(&mut self, page: &Page) -> Result<Page, Failure> {
        let marker = r#"name="consent" value=""#;
        let (_, rest) = page.body.split_once(marker).ok_or("the sandbox's page has no consent form")?;
        let (consent, _) = rest.split_once('"').ok_or("the sandbox's page has no consent form")?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("consent", consent)
            .append_pair("account", "ada@example.com")
            .append_pair("decision", "approve")
            .finish();
        let mut action = page.url.clone();
        action.set_query(None);
        self.go(action, Some(form)).await
    }

    /// Asks with a bearer token.
    pub(super) async fn ask(&self, url: &str, token: &str) -> Result<(u16, String), Failure> {
        let request =
            http::Request::get(url).header("authorization", format!("Bearer {token}")).body(Vec::new())?;
        let response = self.http.fetch(request).await?;
        Ok((response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned()))
    }

    async fn go(&mut self, start: Url, mut form: Option<String>) -> Result<Page, Failure> {
        let mut url = start;
        let mut hops = Vec::new();
        for _ in 0..MAX_REDIRECTS {
            let response = self.http.fetch(self.request(&url, form.take())?).await?;
            self.keep_cookies(&url, response.headers());
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            match location {
                Some(location) if response.status().is_redirection() => {
                    url = url.join(location)?;
                    hops.push(url.clone());
                }
                _ => {
                    let status = response.status().as_u16();
                    let body = String::from_utf8_lossy(response.body()).into_owned();
                    return Ok(Page { url, status, body, hops });
                }
            }
        }
        Err("too many redirects".into())
    }

    fn request(&self, url: &Url, form: Option<String>) -> Result<http::Request<Vec<u8>>, Failure> {
        let origin = url.origin().ascii_serialization();
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<_> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = http::Request::builder().uri(url.as_str());
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        Ok(match form {
            Some(form) => request
                .method("POST")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.into_bytes())?,
            None => request.body(Vec::new())?,
        })
    }

    fn keep_cookies(&mut self, url: &Url, headers: &http::HeaderMap) {
        let origin = url.origin().ascii_serialization();
        for line in headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let pair = line.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert((origin.clone(), name.to_owned()), value.to_owned());
            }
        }
    }
}
