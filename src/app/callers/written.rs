//! The callers file as it is written, and what is wrong with it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::model::{
    Callers, Identity, Issuer, NamedCaller, Permission, ProjectId, TokenAlgorithm, check_display_name,
    is_secure,
};

const MAX_CALLERS: usize = 10_000;
const MAX_ISSUERS: usize = 100;
const MAX_TEXT_BYTES: usize = 1024;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    caller: Vec<WrittenCaller>,
    #[serde(default)]
    issuer: Vec<WrittenIssuer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCaller {
    display_name: String,
    project: String,
    permissions: Vec<String>,
    spiffe_id: Option<String>,
    dns_name: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIssuer {
    issuer: String,
    audience: String,
    jwks_uri: Option<String>,
    algorithms: Option<Vec<String>>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_private_addresses: bool,
}

/// A problem, and the key that has it.
pub(super) type Problem = (String, String);

// === impl Written ===

impl Written {
    pub(super) fn check(
        self,
        certificates: bool,
        mut read: impl FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, String>,
    ) -> Result<Callers, Vec<Problem>> {
        let (mut callers, mut issuers) = (Vec::new(), Vec::<Issuer>::new());
        let mut problems = Vec::new();
        for (kind, count, most) in
            [("caller", self.caller.len(), MAX_CALLERS), ("issuer", self.issuer.len(), MAX_ISSUERS)]
        {
            if count > most {
                return Err(vec![(kind.to_owned(), format!("is there more than {most} times"))]);
            }
        }
        for (index, written) in self.issuer.into_iter().enumerate() {
            let key = format!("issuer[{index}]");
            match written.check(&mut read) {
                Ok(issuer) if issuers.iter().any(|other| other.issuer == issuer.issuer) => {
                    problems.push((format!("{key}.issuer"), "is there twice".to_owned()));
                }
                Ok(issuer) => issuers.push(issuer),
                Err((name, problem)) => problems.push((format!("{key}.{name}"), problem)),
            }
        }
        let mut seen = HashMap::new();
        for (index, written) in self.caller.into_iter().enumerate() {
            let key = format!("caller[{index}]");
            let caller = match written.check(certificates, &issuers) {
                Ok(caller) => caller,
                Err((name, problem)) => {
                    problems.push((format!("{key}.{name}").trim_end_matches('.').to_owned(), problem));
                    continue;
                }
            };
            if let Some(other) = seen.insert(caller.identity.clone(), index) {
                problems.push((key, format!("shows the same as `caller[{other}]`")));
            } else {
                callers.push(caller);
            }
        }
        if problems.is_empty() { Ok(Callers::new(callers, issuers)) } else { Err(problems) }
    }
}

// === impl WrittenCaller ===

impl WrittenCaller {
    fn check(self, certificates: bool, issuers: &[Issuer]) -> Result<NamedCaller, Problem> {
        let bad = |key: &str, problem: &str| (key.to_owned(), problem.to_owned());
        if self.display_name.is_empty() || check_display_name(&self.display_name).is_err() {
            return Err(bad(
                "display_name",
                "must have 1 to 255 characters, none of them a control character",
            ));
        }
        let project_id = ProjectId::parse(&self.project)
            .map_err(|_| bad("project", "is no project id: lower-case letters, digits and hyphens"))?;
        let known: Vec<_> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        let unknown = || ("permissions".to_owned(), format!("must be some of {}", known.join(", ")));
        let permissions = self.permissions.iter().map(|name| Permission::from_name(name).ok_or_else(unknown));
        let mut permissions = permissions.collect::<Result<Vec<_>, _>>()?;
        permissions.sort_unstable();
        permissions.dedup();
        if permissions.is_empty() {
            return Err(unknown());
        }
        let identity = match (self.spiffe_id, self.dns_name, self.issuer, self.subject) {
            (Some(id), None, None, None) => Identity::spiffe(&id)
                .ok_or_else(|| bad("spiffe_id", "is no SPIFFE ID: expected `spiffe://trust-domain/path`"))?,
            (None, Some(name), None, None) if is_dns_name(&name) => Identity::dns(&name),
            (None, Some(_), None, None) => {
                return Err(bad("dns_name", "is no DNS name; it stands for itself alone, without wildcards"));
            }
            (None, None, Some(issuer), Some(subject)) => {
                if !issuers.iter().any(|known| known.issuer == issuer) {
                    return Err(bad("issuer", "is not the `issuer` of an [[issuer]] that is in order"));
                }
                if !(1..=MAX_TEXT_BYTES).contains(&subject.len()) {
                    return Err(bad("subject", "must have 1 to 1024 bytes"));
                }
                Identity::Token { issuer, subject }
            }
            _ => return Err(bad("", "needs one of `spiffe_id`, `dns_name`, and `issuer` with `subject`")),
        };
        if !certificates && matches!(identity, Identity::Spiffe(_) | Identity::Dns(_)) {
            return Err(bad(
                "",
                "is known by a certificate, and without --grpc-client-ca-file none is asked for",
            ));
        }
        Ok(NamedCaller { display_name: self.display_name, identity, project_id, permissions })
    }
}

/// Letters, digits, hyphens and underscores between dots, as certificates have them (RFC 5280, section 4.2.1.6).
fn is_dns_name(name: &str) -> bool {
    let part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(part)
}

// === impl WrittenIssuer ===

impl WrittenIssuer {
    fn check(
        self,
        read: &mut impl FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, String>,
    ) -> Result<Issuer, Problem> {
        let bad = |key: &str, problem: &str| (key.to_owned(), problem.to_owned());
        let address = |key: &str, text: &str| match Url::parse(text) {
            Ok(url) if is_secure(&url) && url.fragment().is_none() && url.username().is_empty() => Ok(()),
            _ => Err(bad(key, "is no https address, nor http on a loopback address")),
        };
        address("issuer", &self.issuer)?;
        if self.issuer.contains('?') {
            return Err(bad("issuer", "has a query"));
        }
        if let Some(jwks_uri) = &self.jwks_uri {
            address("jwks_uri", jwks_uri)?;
        }
        if !(1..=MAX_TEXT_BYTES).contains(&self.audience.len()) {
            return Err(bad("audience", "must have 1 to 1024 bytes"));
        }
        let known: Vec<_> = TokenAlgorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
        let unknown = || ("algorithms".to_owned(), format!("must be some of {}", known.join(", ")));
        let algorithms = match self.algorithms {
            None => TokenAlgorithm::DEFAULT.to_vec(),
            Some(names) if names.is_empty() => return Err(unknown()),
            Some(names) => {
                let found = names.iter().map(|name| TokenAlgorithm::from_name(name).ok_or_else(unknown));
                found.collect::<Result<_, _>>()?
            }
        };
        let authorities = self.ca_file.map(|path| {
            let bytes = read(&path)
                .map_err(|problem| ("ca_file".to_owned(), format!("cannot be read: {problem}")))?;
            let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
            if found.is_ok_and(|found| !found.is_empty()) {
                Ok(bytes.to_vec())
            } else {
                Err(bad("ca_file", "names a file that holds no certificate; expected PEM"))
            }
        });
        Ok(Issuer {
            issuer: self.issuer,
            audience: self.audience,
            jwks_uri: self.jwks_uri,
            algorithms,
            authorities: authorities.transpose()?,
            allow_private_addresses: self.allow_private_addresses,
        })
    }
}
