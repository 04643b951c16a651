//! `tokenwell sign`.

use std::{
    env::VarError,
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::{Failure, output::Output};
use crate::model::{
    Clock as _, ConnectionId, Duration, ExposeSecret as _, HmacKey, IntegrationId, MAX_SIGNATURE_LIFETIME,
    OsRandom, ProjectId, SIGNATURE_LIFETIME, Signed, StringMap, SystemClock, is_nonce, token,
};

/// The variable that holds the key. No flag does: arguments are for every user of a machine to see.
const KEY_VARIABLE: &str = "TOKENWELL_HMAC_KEY";
const STDIN: &str = "-";
const MIN_KEY_BYTES: usize = 32;

/// Arguments of `tokenwell sign`.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The integration.
    #[arg(value_name = "INTEGRATION")]
    integration: String,
    /// The connection, as the Begin names it. Without it, the one of a Begin that lets the server choose.
    #[arg(value_name = "CONNECTION", default_value = "", hide_default_value = true)]
    connection: String,

    /// A file that holds the key, or `-` for standard input. Without it, the variable `TOKENWELL_HMAC_KEY`, else standard input.
    /// A key is never an argument, which every user of the machine can see.
    #[arg(long, env = "TOKENWELL_HMAC_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// How the key is written. The project's setting `hmac.keys` has it as base64 wherever it is JSON.
    #[arg(long, default_value = "base64", value_name = "ENCODING")]
    key_encoding: KeyEncoding,

    /// The scheme: `v2` covers everything below, expires, and begins one flow; `v1` covers the two ids for ever.
    #[arg(long, default_value = "v2")]
    scheme: Scheme,
    /// The project. A v2 signature covers it.
    /// Without it, `default`.
    #[arg(long)]
    project: Option<String>,
    /// In how many seconds a v2 signature expires. A project takes 600 at the most, unless its setting `hmac.max_lifetime` says
    /// otherwise. Without it, 600.
    #[arg(long, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=MAX_SIGNATURE_LIFETIME.whole_seconds().unsigned_abs()))]
    expires_in: Option<u64>,
    /// When it expires, in Unix seconds, instead.
    #[arg(long, value_name = "UNIX_SECONDS", conflicts_with = "expires_in",
          value_parser = clap::value_parser!(i64).range(1..=999_999_999_999))]
    expiry: Option<i64>,
    /// What keeps two signatures apart that are the same in all else: 1 to 64 letters, digits, `-` and `_`. Without it, a random
    /// one.
    #[arg(long, value_name = "NONCE", value_parser = nonce)]
    nonce: Option<String>,
    /// A value of the connection config: `connection_config` of Begin, `params[KEY]` of a link. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// A further parameter of the authorization URL: `authorization_params` of Begin and of a link. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    authorization_param: Vec<(String, String)>,
    /// A scope, in the order of the Begin. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// A user scope, in the order of the Begin or the link. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    user_scope: Vec<String>,
    /// The return URL, byte for byte.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "URL")]
    return_url: String,

    /// How to print it: `text` is the signature alone, `json` an object with `signature`, and for v2 `expiry` and `nonce`.
    #[arg(long, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// The two ids, for ever.
    V1,
    /// Everything, for a while, once.
    V2,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyEncoding {
    /// Base64, as in JSON.
    Base64,
    /// Hexadecimal.
    Hex,
    /// The bytes themselves, without a line's end.
    Text,
}

/// Makes a signature and prints it.
pub(super) fn run(args: &SignArgs) -> Result<(), Failure> {
    let project = args.project.as_deref().unwrap_or("default");
    ProjectId::parse(project)?;
    IntegrationId::parse(&args.integration)?;
    if !args.connection.is_empty() {
        ConnectionId::parse(&args.connection)?;
    }
    if args.scheme == Scheme::V1 && args.covers_more() {
        return Err(
            "a v1 signature covers the two ids only, for ever: leave the other fields and times out, or sign with v2".into()
        );
    }
    let (config, params) =
        (map("--config", &args.config)?, map("--authorization-param", &args.authorization_param)?);
    let signed = Signed {
        project_id: project,
        integration_id: &args.integration,
        connection_id: &args.connection,
        connection_config: &config,
        authorization_params: &params,
        scopes: &args.scope,
        user_scopes: &args.user_scope,
        return_url: &args.return_url,
    };
    let key = key(args)?;
    let report = match args.scheme {
        Scheme::V1 => serde_json::json!({ "signature": signed.sign_v1(&key) }),
        Scheme::V2 => {
            let nonce = match &args.nonce {
                Some(nonce) => nonce.clone(),
                None => token(&OsRandom)?.expose_secret().to_owned(),
            };
            let lifetime = args.expires_in.map(i64::try_from).transpose()?;
            let lifetime = lifetime.map_or(SIGNATURE_LIFETIME, Duration::seconds);
            let expiry = args.expiry.unwrap_or_else(|| (SystemClock.now() + lifetime).unix_timestamp());
            let signature = signed.sign_v2(&key, expiry, &nonce);
            serde_json::json!({ "signature": signature, "expiry": expiry, "nonce": nonce })
        }
    };
    match args.output {
        Output::Text => anstream::println!("{}", report["signature"].as_str().unwrap_or_default()),
        Output::Json => anstream::println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(())
}

impl SignArgs {
    fn covers_more(&self) -> bool {
        let lists = [&self.scope, &self.user_scope].iter().any(|list| !list.is_empty());
        let times = self.expires_in.is_some() || self.expiry.is_some();
        let maps = [&self.config, &self.authorization_param].iter().any(|map| !map.is_empty());
        lists
            || maps
            || times
            || !self.return_url.is_empty()
            || self.nonce.is_some()
            || self.project.is_some()
    }
}

fn key(args: &SignArgs) -> Result<HmacKey, Failure> {
    let text = match (&args.key_file, from_environment()?) {
        (Some(path), _) if path == Path::new(STDIN) => from_stdin()?,
        (Some(path), _) => {
            let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Zeroizing::new(read)
        }
        (None, Some(text)) => text,
        (None, None) if std::io::stdin().is_terminal() => {
            return Err(format!("there is no key: set {KEY_VARIABLE}, or give --key-file").into());
        }
        (None, None) => from_stdin()?,
    };
    let key = match args.key_encoding {
        // Many tools break its lines.
        KeyEncoding::Base64 => {
            let whole: Zeroizing<Vec<u8>> =
                Zeroizing::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
            STANDARD.decode(&*whole).ok()
        }
        KeyEncoding::Hex => hex::decode(text.trim_ascii()).ok(),
        KeyEncoding::Text => Some(text.strip_suffix(b"\n").unwrap_or(&text).to_vec()),
    };
    // What is wrong with it is not shown: it may be nearly right.
    let key: HmacKey = key.ok_or("the key is not written in this encoding; see --key-encoding")?.into();
    if key.expose_secret().len() < MIN_KEY_BYTES {
        return Err(
            "the key is too short: a project takes keys of 32 bytes or more; see --key-encoding".into()
        );
    }
    Ok(key)
}

#[expect(clippy::disallowed_methods, reason = "a variable that must not be a flag, too")]
fn from_environment() -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    match std::env::var(KEY_VARIABLE) {
        Ok(text) => Ok(Some(Zeroizing::new(text.into_bytes()))),
        Err(VarError::NotPresent) => Ok(None),
        // Its error would show it.
        Err(VarError::NotUnicode(_)) => Err(format!("{KEY_VARIABLE} is not UTF-8").into()),
    }
}

fn from_stdin() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut text = Zeroizing::new(Vec::new());
    std::io::stdin().read_to_end(&mut text)?;
    Ok(text)
}

fn map(flag: &str, pairs: &[(String, String)]) -> Result<StringMap, Failure> {
    let map: StringMap = pairs.iter().cloned().collect();
    if map.len() == pairs.len() { Ok(map) } else { Err(format!("{flag} is given twice for one key").into()) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn nonce(text: &str) -> Result<String, String> {
    let good = is_nonce(text).then(|| text.to_owned());
    good.ok_or_else(|| "expected 1 to 64 letters, digits, `-` and `_`".to_owned())
}
