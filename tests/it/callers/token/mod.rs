//! Tokens of issuers that name callers.

mod issuer;

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokenwell::{
    api::pb::connection::v1::View,
    model::{Clock as _, Duration},
};
use tonic::{Code, Status, transport::Channel};

use super::{end, get_ada, read, watch};
use crate::support::{
    Database, Issuer, ManualClock, Options, Signer, TestProvider, TestResult, TestServer, assert_refused,
};

const KEYS: &str = "keys";
const METADATA: &str = ".well-known/openid-configuration";
/// A workload of Kubernetes.
const SUBJECT: &str = "system:serviceaccount:prod:billing";

/// A server that believes an issuer.
struct Stage {
    issuer: Issuer,
    signer: Signer,
    server: TestServer,
    channel: Channel,
    file: TempDir,
    _provider: TestProvider,
    _database: Database,
}

impl Stage {
    async fn new() -> Self {
        Self::with("", true).await
    }

    /// As `new`, but this is said of the issuer, too; and the server may call its own machine, or may not.
    async fn with(more: &str, loopback: bool) -> Self {
        let signer = Signer::new("one");
        let issuer = Issuer::start(&[&signer]).await;
        let file = TempDir::new().unwrap();
        let path = file.path().join("callers.toml");
        fs::write(&path, callers(&issuer, more)).unwrap();
        let clock = ManualClock::new();
        let provider = TestProvider::plain(&clock).await;
        let database = Database::sqlite();
        let first = TestServer::start(&database, Options::with(&clock, &provider)).await;
        first.create_integration("sandbox", "sandbox").await;
        first.connect("sandbox", "ada").await;
        let key = first.key.clone();
        first.stop().await;
        let mut options = Options { callers_file: Some(path), loopback, ..Options::with(&clock, &provider) };
        options.http.loopback = loopback;
        let mut server = TestServer::start(&database, options).await;
        server.key = key;
        let channel = server.channel_with(None);
        Self { issuer, signer, server, channel, file, _provider: provider, _database: database }
    }

    /// What a good token says.
    fn claims(&self) -> Value {
        let now = self.server.clock.now().unix_timestamp();
        json!({"iss": self.issuer.name(), "sub": SUBJECT, "aud": "tokenwell", "iat": now, "nbf": now, "exp": now + 600})
    }

    /// The same, but for these members; null takes one out.
    fn but(&self, changes: &Value) -> Value {
        let mut claims = self.claims();
        change(&mut claims, changes);
        claims
    }

    async fn read(&self, token: &str) -> Result<(), Status> {
        read(&self.channel, Some(token)).await
    }

    #[track_caller]
    fn assert_invalid(result: Result<(), Status>, problem: &str) {
        let refusal = assert_refused(result, Code::Unauthenticated, "TOKEN_INVALID");
        assert!(refusal.message.contains(problem), "{problem}: {}", refusal.message);
    }

    /// A moment after which an issuer may be asked again.
    fn wait(&self) {
        self.server.clock.advance(Duration::seconds(10));
    }
}

fn change(value: &mut Value, changes: &Value) {
    for (name, member) in changes.as_object().unwrap() {
        match member {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            member => value[name] = member.clone(),
        }
    }
}

fn callers(issuer: &Issuer, more: &str) -> String {
    let name = issuer.name();
    format!(
        "[[issuer]]\nissuer = \"{name}\"\naudience = \"tokenwell\"\n{more}\n\
         [[caller]]\ndisplay_name = \"Billing\"\nproject = \"default\"\npermissions = [\"read\"]\n\
         issuer = \"{name}\"\nsubject = \"{SUBJECT}\"\n"
    )
}

#[tokio::test]
async fn a_token_selects_a_project_and_permissions() -> TestResult {
    let stage = Stage::new().await;
    let token = stage.signer.sign(&stage.claims());
    stage.read(&token).await?;
    get_ada(&stage.channel, Some(&token), View::Basic).await?;
    watch(&stage.channel, Some(&token)).await?;
    let refused = get_ada(&stage.channel, Some(&token), View::Full).await;
    let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(refusal.metadata["permission"], "read_credentials");
    read(&stage.channel, Some(&stage.server.key)).await?;
    assert_eq!((stage.issuer.asked(METADATA), stage.issuer.asked(KEYS)), (1, 1), "its keys are remembered");

    for claims in [
        json!({"aud": ["other", "tokenwell"]}),
        json!({"nbf": null}),
        json!({"iat": null, "nbf": null}),
        json!({"exp": stage.claims()["iat"].as_i64().unwrap() - 59}),
        json!({"nbf": stage.claims()["iat"].as_i64().unwrap() + 59}),
        json!({"exp": stage.claims()["iat"].as_i64().unwrap() + 86_400}),
        json!({"kubernetes.io": {"namespace": "prod"}}),
    ] {
        stage
            .read(&stage.signer.sign(&stage.but(&claims)))
            .await
            .unwrap_or_else(|it| panic!("{claims}: {it}"));
    }
    for header in [json!({"typ": null}), json!({"typ": "at+jwt"}), json!({"typ": "application/at+JWT"})] {
        let mut whole = stage.signer.header();
        change(&mut whole, &header);
        stage.read(&stage.signer.sign_parts(&whole, &stage.claims())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_whose_claims_do_not_fit_is_refused() {
    let stage = Stage::new().await;
    let now = stage.claims()["iat"].as_i64().unwrap();
    for (claims, problem) in [
        (json!({"exp": now - 60}), "it has expired"),
        (json!({"exp": null}), "it does not say when it expires"),
        (json!({"exp": (now + 600).to_string()}), "one of its times is none"),
        (json!({"exp": now + 86_401}), "it lives longer than a day"),
        (json!({"exp": now + 86_401, "iat": null}), "it lives longer than a day"),
        (json!({"exp": now + 86_401, "iat": null, "nbf": null}), "it lives longer than a day"),
        (json!({"exp": 253_402_300_799_i64}), "it lives longer than a day"),
        (json!({"nbf": now + 61}), "it is not valid yet"),
        (json!({"iat": now + 61}), "it is not valid yet"),
        (json!({"iat": "now"}), "one of its times is none"),
        (json!({"aud": "other"}), "it is for another audience"),
        (json!({"aud": "Tokenwell"}), "it is for another audience"),
        (json!({"aud": ["other"]}), "it is for another audience"),
        (json!({"aud": []}), "it is for another audience"),
        (json!({"aud": null}), "it is for another audience"),
        (json!({"iss": "http://127.0.0.1:1"}), "its issuer is not one that is trusted"),
        (json!({"iss": format!("{}/", stage.issuer.name())}), "its issuer is not one that is trusted"),
        (json!({"iss": null}), "its issuer is not one that is trusted"),
        (json!({"iss": [stage.issuer.name()]}), "its issuer is not one that is trusted"),
        (json!({"sub": null}), "it does not say whose it is"),
        (json!({"sub": ""}), "it does not say whose it is"),
        (json!({"sub": "a".repeat(1025)}), "it does not say whose it is"),
    ] {
        let refused = stage.read(&stage.signer.sign(&stage.but(&claims))).await;
        assert!(refused.is_err(), "let through: {claims}");
        Stage::assert_invalid(refused, problem);
    }
    assert_eq!(stage.issuer.asked(KEYS), 0, "nobody is asked about what does not fit anyway");
    for subject in ["system:serviceaccount:prod:billing2", "system:serviceaccount:prod:*", "SYSTEM:x", " "] {
        let refused = stage.read(&stage.signer.sign(&stage.but(&json!({"sub": subject})))).await;
        assert_refused(refused, Code::Unauthenticated, "CALLER_UNKNOWN");
    }
}

#[tokio::test]
async fn a_token_whose_signature_proves_nothing_is_refused() -> TestResult {
    let stage = Stage::new().await;
    let (signer, claims) = (&stage.signer, stage.claims());
    let good = signer.sign(&claims);
    stage.read(&good).await?;
    let parts: Vec<_> = good.split('.').collect();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());

    let not_theirs = "its signature does not hold";
    let other = Signer::new("one").sign(&claims);
    Stage::assert_invalid(stage.read(&other).await, not_theirs);
    let more = part(&stage.but(&json!({"sub": "somebody else"})));
    Stage::assert_invalid(stage.read(&format!("{}.{more}.{}", parts[0], parts[2])).await, not_theirs);
    let header = part(&json!({"alg": "ES256", "kid": "one"}));
    Stage::assert_invalid(stage.read(&format!("{header}.{}.{}", parts[1], parts[2])).await, not_theirs);
    Stage::assert_invalid(stage.read(&format!("{}.{}.", parts[0], parts[1])).await, not_theirs);
    let half = &parts[2][..40];
    Stage::assert_invalid(stage.read(&format!("{}.{}.{half}", parts[0], parts[1])).await, not_theirs);
    // r = s = 0, which broken verifiers take (CVE-2022-21449).
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    Stage::assert_invalid(stage.read(&format!("{}.{}.{zeros}", parts[0], parts[1])).await, not_theirs);

    let algorithm = "its algorithm is not one that its issuer may use";
    for name in
        ["none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "ES384", "PS256", "ES256K", "es256", ""]
    {
        let header = part(&json!({"alg": name, "kid": "one"}));
        for signature in ["", parts[2]] {
            let refused = stage.read(&format!("{header}.{}.{signature}", parts[1])).await;
            Stage::assert_invalid(refused, algorithm);
        }
    }
    // Signed with what everybody knows: the public key as the secret of an HMAC.
    let message = format!("{}.{}", part(&json!({"alg": "HS256", "kid": "one"})), parts[1]);
    let mut mac = Hmac::<Sha256>::new_from_slice(signer.jwk.to_string().as_bytes())?;
    mac.update(message.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    Stage::assert_invalid(stage.read(&format!("{message}.{signature}")).await, algorithm);

    for (header, problem) in [
        (json!({"alg": null}), algorithm),
        (json!({"alg": ["ES256"]}), algorithm),
        (json!({"typ": "logout+jwt"}), "it is of another type"),
        (json!({"typ": "dpop+jwt"}), "it is of another type"),
        (json!({"typ": 1}), "it is of another type"),
        (json!({"crit": ["exp"]}), "it asks for more than is understood"),
        (json!({"kid": 1}), "its key is none of its issuer's"),
        (json!({"kid": ""}), "its key is none of its issuer's"),
        (json!({"kid": "../one"}), "its key is none of its issuer's"),
    ] {
        let mut whole = signer.header();
        change(&mut whole, &header);
        Stage::assert_invalid(stage.read(&signer.sign_parts(&whole, &claims)).await, problem);
    }
    // A key that the token brings along is nobody's.
    let stranger = Signer::new("stranger");
    let mut header = stranger.header();
    change(&mut header, &json!({"jwk": stranger.jwk, "jku": "https://stranger.example/keys", "kid": null}));
    Stage::assert_invalid(stage.read(&stranger.sign_parts(&header, &claims)).await, not_theirs);

    for token in ["a.b.c", "..", &good.replace('.', "..")[..good.len()], &format!("{good}=")] {
        let refused = stage.read(token).await;
        assert!(refused.is_err(), "let through: {token}");
    }
    Stage::assert_invalid(stage.read("a.b.c").await, "it is no JWT");
    for token in ["a.b", "a.b.c.d", "eyJhbGciOiJub25lIn0"] {
        assert_refused(stage.read(token).await, Code::Unauthenticated, "API_KEY_INVALID");
    }
    Ok(())
}
