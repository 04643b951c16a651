//! Attacks of the field's own drafts, played from their beginning to where they end.
//!
//! draft-ietf-oauth-security-topics-update: cross-user session fixation (section 2.3), cross-tool account takeover (2.2). OWASP ASVS 5.0, V10: another account in the
//! place of the one that was connected.

mod account;
mod coat;
mod fixation;
mod replacing;
