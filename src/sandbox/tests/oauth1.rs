//! OAuth 1.0a. Requests are signed here by hand, from the parameters that each test names.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;

use super::*;
use crate::sandbox::{Failure, OAuth1Quirks, SignatureMethod};

/// A request as a client builds it.
#[derive(Clone)]
struct Draft<'a> {
    method: &'a str,
    path: &'a str,
    query: Vec<(&'a str, &'a str)>,
    form: Vec<(&'a str, &'a str)>,
    own: BTreeMap<&'a str, String>,
    client_secret: &'a str,
    token_secret: &'a str,
    scheme: &'a str,
}

impl<'a> Draft<'a> {
    fn new(stage: &Stage, method: &'a str, path: &'a str, nonce: &str, more: &Pairs<'a>) -> Self {
        let mut own = BTreeMap::from([
            ("oauth_consumer_key", CLIENT_ID.to_owned()),
            ("oauth_signature_method", "HMAC-SHA1".to_owned()),
            ("oauth_timestamp", stage.clock.now().unix_timestamp().to_string()),
            ("oauth_nonce", nonce.to_owned()),
        ]);
        own.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let (client_secret, token_secret) = (CLIENT_SECRET, "");
        let scheme = "https";
        Self { method, path, query: vec![], form: vec![], own, client_secret, token_secret, scheme }
    }

    fn with(mut self, name: &'a str, value: &str) -> Self {
        self.own.insert(name, value.to_owned());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.own.remove(name);
        self
    }

    fn signature(&self) -> String {
        let own = self.own.iter().map(|(name, value)| (*name, value.as_str()));
        let all = self.query.iter().chain(&self.form).copied().chain(own);
        let mut pairs: Vec<_> =
            all.map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        pairs.sort();
        let url = format!("{}://{HOST}{}", self.scheme, self.path);
        let text = format!("{}&{}&{}", self.method, escape(&url), escape(&pairs.join("&")));
        let key = format!("{}&{}", escape(self.client_secret), escape(self.token_secret));
        match self.own["oauth_signature_method"].as_str() {
            "PLAINTEXT" => key,
            "HMAC-SHA256" => STANDARD.encode(mac::<Hmac<Sha256>>(&key, &text)),
            _ => STANDARD.encode(mac::<Hmac<Sha1>>(&key, &text)),
        }
    }

    async fn send(&self, stage: &Stage) -> Answer {
        self.send_signed(stage, &self.signature()).await
    }

    async fn send_signed(&self, stage: &Stage, signature: &str) -> Answer {
        let own = self.own.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
        let own: Vec<_> = own.collect();
        let header = format!("OAuth {}, oauth_signature=\"{}\"", own.join(", "), escape(signature));
        let uri = format!("{}?{}", self.path, encode(&self.query));
        let request = Request::builder()
            .method(self.method)
            .uri(uri)
            .header(header::HOST, HOST)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, header);
        stage.send(request.body(encode(&self.form).into()).unwrap()).await
    }
}

fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn mac<M: Mac + KeyInit>(key: &str, text: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

impl Answer {
    fn pairs(&self) -> BTreeMap<String, String> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.headers[header::CACHE_CONTROL], "no-store");
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    fn has_problem(&self, status: u16, word: &str) {
        assert_eq!((self.status.as_u16(), self.body.as_str()), (status, &*format!("oauth_problem={word}")));
        assert_eq!(self.headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
    }
}

fn stage(oauth1: OAuth1Quirks) -> Stage {
    Stage::new(Quirks { oauth1: Some(oauth1), ..Quirks::default() })
}

/// A request token and its secret.
async fn begin(stage: &Stage, nonce: &str) -> (String, String) {
    let callback = [("oauth_callback", CALLBACK)];
    let pairs = Draft::new(stage, "POST", "/request_token", nonce, &callback).send(stage).await.pairs();
    assert_eq!(pairs["oauth_callback_confirmed"], "true");
    (pairs["oauth_token"].clone(), pairs["oauth_token_secret"].clone())
}

async fn approve(stage: &Stage, token: &str) -> BTreeMap<String, String> {
    let page = stage.get("/authorize", &[("oauth_token", token), ("scope", "read")]).await;
    assert!(page.body.contains("<li data-testid=\"scope\">read</li>"), "{}", page.body);
    stage.decide(&page, &[("decision", "approve")]).await.callback()
}

fn redeem<'a>(stage: &Stage, nonce: &str, token: &'a str, secret: &'a str, verifier: &'a str) -> Draft<'a> {
    let more = [("oauth_token", token), ("oauth_verifier", verifier)];
    Draft { token_secret: secret, ..Draft::new(stage, "POST", "/token", nonce, &more) }
}

#[tokio::test]
async fn the_whole_way_to_a_resource() {
    let quirks = Quirks {
        oauth1: Some(OAuth1Quirks::default()),
        extra_token_members: json!({ "user_id": 7, "site": "{host}" }).as_object().unwrap().clone(),
        ..Quirks::default()
    };
    let stage = Stage::new(quirks);
    stage.sandbox.fail_next(Failure::Status(503));
    let callback = [("oauth_callback", CALLBACK)];
    let failed = Draft::new(&stage, "POST", "/request_token", "0", &callback).send(&stage).await;
    assert_eq!(failed.status, 503);
    let (token, secret) = begin(&stage, "0").await;
    let callback = approve(&stage, &token).await;
    assert_eq!(callback.keys().collect::<Vec<_>>(), ["oauth_token", "oauth_verifier"]);
    assert_eq!(callback["oauth_token"], token);

    let verifier = &callback["oauth_verifier"];
    redeem(&stage, "1", &token, &secret, "wrong").send(&stage).await.has_problem(401, "verifier_invalid");
    let pairs = redeem(&stage, "2", &token, &secret, verifier).send(&stage).await.pairs();
    assert_eq!((pairs["user_id"].as_str(), pairs["site"].as_str()), ("7", HOST));
    redeem(&stage, "3", &token, &secret, verifier).send(&stage).await.has_problem(401, "token_rejected");

    let more = [("oauth_token", pairs["oauth_token"].as_str())];
    let mut draft = Draft::new(&stage, "GET", "/userinfo", "4", &more);
    draft.query = vec![("a", "x y"), ("a", "+&=")];
    draft.token_secret = &pairs["oauth_token_secret"];
    assert_eq!(draft.send(&stage).await.json()["sub"], "ada@example.com");
    stage.sandbox.revoke_all();
    draft.with("oauth_nonce", "5").send(&stage).await.has_problem(401, "token_rejected");

    let book = stage.sandbox.book();
    assert_eq!((book.authorizations, book.exchanges, book.requests["/userinfo"]), (1, 1, 2));
    let paths: Vec<_> = book.token_requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/request_token", "/request_token", "/token", "/token", "/token"]);
    let text = format!("{book:?} {:?}", stage.sandbox);
    assert!(!text.contains(&token) && !text.contains(verifier.as_str()), "{text}");
}

#[tokio::test]
async fn a_signature_is_of_this_request() {
    let stage = stage(OAuth1Quirks::default());
    let callback = [("oauth_callback", CALLBACK)];
    let mut right = Draft::new(&stage, "POST", "/request_token", "1", &callback);
    right.form = vec![("scope", "a b"), ("c2", "")];
    right.query = vec![("q", "%")];
    let signature = right.signature();
    for other in [
        Draft { form: vec![("scope", "a c"), ("c2", "")], ..right.clone() },
        Draft { query: vec![], ..right.clone() },
        right.clone().with("oauth_nonce", "2"),
        right.clone().with("oauth_callback", &format!("{CALLBACK}?")),
        right.clone().with("oauth_token", "x"),
    ] {
        other.send_signed(&stage, &signature).await.has_problem(401, "signature_invalid");
    }
    for other in [
        Draft { client_secret: "wrong", ..right.clone() },
        Draft { token_secret: "wrong", ..right.clone() },
        Draft { scheme: "http", ..right.clone() },
    ] {
        other.send(&stage).await.has_problem(401, "signature_invalid");
    }
    right.send_signed(&stage, &signature).await.pairs();
    right.send_signed(&stage, &signature).await.has_problem(401, "nonce_used");
    let later = stage.clock.now().unix_timestamp() + 1;
    right.with("oauth_timestamp", &later.to_string()).send(&stage).await.pairs();
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let stage = stage(OAuth1Quirks::default());
    let callback = [("oauth_callback", CALLBACK)];
    let right = Draft::new(&stage, "POST", "/request_token", "1", &callback);
    for name in ["oauth_callback", "oauth_consumer_key", "oauth_timestamp", "oauth_nonce"] {
        right.clone().without(name).send(&stage).await.has_problem(400, "parameter_absent");
    }
    right.send_signed(&stage, "").await.has_problem(400, "parameter_absent");
    let now = stage.clock.now().unix_timestamp();
    for (name, value, status, word) in [
        ("oauth_consumer_key", "nobody", 401, "consumer_key_unknown"),
        ("oauth_consumer_key", "public", 401, "consumer_key_rejected"),
        ("oauth_signature_method", "HMAC-SHA256", 400, "signature_method_rejected"),
        ("oauth_version", "2.0", 400, "version_rejected"),
        ("oauth_timestamp", "soon", 400, "parameter_rejected"),
        ("oauth_timestamp", &(now - 301).to_string(), 401, "timestamp_refused"),
        ("oauth_timestamp", &(now + 301).to_string(), 401, "timestamp_refused"),
        ("oauth_callback", "https://evil.test/", 400, "parameter_rejected"),
    ] {
        right.clone().with(name, value).send(&stage).await.has_problem(status, word);
    }
    let twice = Draft { query: vec![("oauth_nonce", "1")], ..right.clone() };
    twice.send(&stage).await.has_problem(400, "parameter_rejected");
    stage.post("/request_token", None, &callback).await.has_problem(400, "parameter_absent");
    stage
        .post("/request_token", Some("OAuth oauth_nonce=1"), &[])
        .await
        .has_problem(400, "parameter_rejected");
    // The refused callback had a right signature, and so has used its nonce up.
    right.with("oauth_version", "1.0").with("oauth_nonce", "2").send(&stage).await.pairs();
}

#[tokio::test]
async fn a_request_token_is_for_its_client_for_ten_minutes() {
    let stage = stage(OAuth1Quirks::default());
    let (token, secret) = begin(&stage, "1").await;
    redeem(&stage, "2", &token, &secret, "x").send(&stage).await.has_problem(401, "permission_unknown");
    redeem(&stage, "3", "made-up", "", "x").send(&stage).await.has_problem(401, "token_rejected");
    let callback = approve(&stage, &token).await;
    let right = redeem(&stage, "4", &token, &secret, &callback["oauth_verifier"]);
    let theft = Draft { client_secret: "x", ..right.clone().with("oauth_consumer_key", "other") };
    theft.send(&stage).await.has_problem(401, "token_rejected");
    stage.clock.advance(300);
    right
        .clone()
        .with("oauth_nonce", "5")
        .send_signed(&stage, "x")
        .await
        .has_problem(401, "signature_invalid");
    stage.clock.advance(300);
    redeem(&stage, "6", &token, &secret, &callback["oauth_verifier"])
        .send(&stage)
        .await
        .has_problem(401, "token_expired");

    for token in ["", "made-up", &token] {
        let answer = stage.get("/authorize", &[("oauth_token", token)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_user_says_no() {
    let stage = stage(OAuth1Quirks::default());
    let (token, secret) = begin(&stage, "1").await;
    let page = stage.get("/authorize", &[("oauth_token", &token)]).await;
    let denied = stage.decide(&page, &[("decision", "deny")]).await.callback();
    assert_eq!((denied["oauth_token"].as_str(), denied["oauth_problem"].as_str()), (&*token, "user_refused"));
    redeem(&stage, "2", &token, &secret, "x").send(&stage).await.has_problem(401, "permission_unknown");
}

#[tokio::test]
async fn each_way_to_sign() {
    for (signature_method, name) in
        [(SignatureMethod::HmacSha256, "HMAC-SHA256"), (SignatureMethod::Plaintext, "PLAINTEXT")]
    {
        let request_token_path = "/oauth/initiate".to_owned();
        let stage = stage(OAuth1Quirks { request_token_path, signature_method });
        let more = [("oauth_callback", CALLBACK), ("oauth_signature_method", name)];
        let right = Draft::new(&stage, "POST", "/oauth/initiate", "1", &more);
        right.send(&stage).await.pairs();
        let sha1 = right.clone().with("oauth_signature_method", "HMAC-SHA1");
        sha1.send(&stage).await.has_problem(400, "signature_method_rejected");
        let bare = right.without("oauth_timestamp").without("oauth_nonce");
        if name == "PLAINTEXT" {
            bare.send(&stage).await.pairs();
            let wrong = Draft { client_secret: "wrong", ..bare };
            wrong.send(&stage).await.has_problem(401, "signature_invalid");
        } else {
            bare.send(&stage).await.has_problem(400, "parameter_absent");
        }
    }
}
