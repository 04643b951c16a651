//! Attacks of the field's own drafts, played from their beginning to where they end.
//!
//! draft-ietf-oauth-security-topics-update: cross-user session fixation (section 2.3), cross-tool account takeover (2.2).

mod coat;
mod fixation;
mod replacing;
