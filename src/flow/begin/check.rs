//! What a Begin may ask for. A frontend's is anybody's: what it says counts as far as a backend has signed it.

use url::form_urlencoded;

use super::BeginInput;
use crate::{
    model::{
        Caller, Completion, Error, FieldViolation, Integration, KeyKind, MAX_AUTHORIZATION_PARAMS, Proven,
        Result, Settings, check_scopes, return_url_allowed, return_url_listed,
    },
    provider::Provider,
};

const MAX_PARAM_BYTES: usize = 2048;

/// A Begin, and what it is about.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) input: &'a BeginInput,
    pub(super) provider: &'a Provider,
    pub(super) integration: &'a Integration,
}

impl Asked<'_> {
    /// Whether a backend asks, or has signed all of it.
    fn by_backend(&self) -> bool {
        self.caller.kind() == KeyKind::Secret || matches!(self.input.proven, Proven::Everything(_))
    }
}

/// What is wrong with a Begin that no backend stands for: whoever has the publishable key, which is everybody, could have an end
/// user grant more than the app ever asks for, or send him past what the entry insists on.
fn of_backends(asked: &Asked<'_>) -> Vec<FieldViolation> {
    let Asked { input, provider, integration, .. } = *asked;
    let default = provider.default_scopes();
    let scopes = if integration.scopes.is_empty() { default } else { &integration.scopes };
    let mut bad = Vec::new();
    for (field, asked, own) in
        [("scopes", &input.scopes, scopes), ("user_scopes", &input.user_scopes, &integration.user_scopes)]
    {
        if let Some(scope) = asked.iter().find(|scope| !own.contains(scope)) {
            let problem = format!(
                "hold `{scope}`, which is not one of the integration's: sign the request by scheme v2, or begin from a backend"
            );
            bad.push(FieldViolation::new(field, problem));
        }
    }
    let own = provider.authorization_param_templates().map(|(name, _)| name);
    let of_entry: Vec<_> = own.filter(|own| input.authorization_params.keys().any(|it| it == own)).collect();
    bad.extend(of_entry.into_iter().map(|name| {
        FieldViolation::new(
            format!("authorization_params.{name}"),
            "is set by the provider's entry: sign the request by scheme v2, or begin from a backend",
        )
    }));
    bad
}

/// Refuses a Begin that asks for what cannot be had, or for what is not its caller's to choose.
pub(super) fn check(asked: &Asked<'_>, settings: &Settings) -> Result<()> {
    let Asked { caller, input, provider, .. } = *asked;
    let mut bad = Vec::new();
    if input.authorization_params.len() > MAX_AUTHORIZATION_PARAMS {
        bad.push(FieldViolation::new("authorization_params", "are too many: expected at most 32"));
    }
    let unfit = |(name, value): (&String, &String)| {
        !(1..=64).contains(&name.len())
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
            || value.len() > MAX_PARAM_BYTES
            || value.chars().any(char::is_control)
    };
    if input.authorization_params.iter().any(unfit) {
        bad.push(FieldViolation::new(
            "authorization_params",
            "are malformed: expected names of 1 to 64 letters, digits, `_`, `-`, `.` and `:`, and values of at most 2,048 bytes without control characters",
        ));
    }
    for (field, scopes) in [("scopes", &input.scopes), ("user_scopes", &input.user_scopes)] {
        if let Err(problem) = check_scopes(scopes) {
            bad.push(FieldViolation::new(field, problem));
        }
    }
    if !input.user_scopes.is_empty() && provider.user_scope_param().is_none() {
        bad.push(FieldViolation::new(
            "user_scopes",
            format!("are not known to `{}`: leave them out", provider.id()),
        ));
    }
    if input.metadata.is_some() && caller.kind() == KeyKind::Publishable {
        bad.push(FieldViolation::new(
            "metadata",
            "cannot be set with a publishable key: set it from a backend",
        ));
    }
    if caller.kind() == KeyKind::Publishable {
        bad.extend(provider.secret_fields(&input.connection_config).map(|name| {
            let field = format!("connection_config.{name}");
            FieldViolation::new(
                field,
                "is secret and cannot be set with a publishable key: set it from a backend",
            )
        }));
    }
    if !asked.by_backend() {
        bad.extend(of_backends(asked));
    }
    if !bad.is_empty() {
        return Err(Error::FieldInvalid(bad));
    }
    provider.check_authorization_params(&input.authorization_params)?;
    if input.return_url.as_deref().is_some_and(holds_our_params) {
        return Err(Error::field(
            "return_url",
            "holds a parameter `tokenwell_...`, which tokenwell adds itself",
        ));
    }
    match &input.return_url {
        Some(url) if !return_url_allowed(url, &settings.allowed_return_urls) => {
            Err(Error::ReturnUrlNotAllowed)
        }
        Some(url) if settings.completion == Completion::Confirm && !asked.by_backend() => {
            let listed = return_url_listed(url, &settings.allowed_return_urls);
            if listed { Ok(()) } else { Err(Error::ReturnUrlNotAllowed) }
        }
        None if settings.completion == Completion::Confirm => Err(Error::field(
            "return_url",
            "is missing: the project confirms flows, and the browser brings the confirmation there",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Whether a return URL says already what only the gateway may say.
fn holds_our_params(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.starts_with("tokenwell_"))
}
