//! Addresses of a `providers.yaml` as templates of this catalog, with the pins that they give.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Remarks,
    expression::{self, Piece},
    fields::Fields,
    host::{self, Part, Tail},
};

const HTTPS: &str = "https://";

/// An address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    /// Its alternatives.
    pub(super) templates: Vec<String>,
    /// The hosts that they may have.
    pub(super) pins: BTreeSet<String>,
}

/// What is read while addresses are.
pub(super) struct Reader<'a> {
    pub(super) fields: &'a mut Fields,
    pub(super) remarks: &'a mut Remarks,
    /// What the values of fields end in, where that is known.
    pub(super) tails: &'a BTreeMap<String, Vec<Tail>>,
}

/// A field in an address, and what stands before and behind it there.
struct Place<'a> {
    name: &'a str,
    in_host: bool,
    before: Option<&'a str>,
    behind: Option<&'a str>,
}

impl Reader<'_> {
    /// Reads an address. Alternatives that can't be carried over are left out, unless none is left.
    pub(super) fn address(&mut self, key: &str, text: &str) -> Result<Address, String> {
        let mut address = Address::default();
        let mut kept: Vec<Vec<Piece<'_>>> = Vec::new();
        let mut dropped = Vec::new();
        for alternative in expression::alternatives(text) {
            let pieces = expression::pieces(alternative);
            match self.alternative(&pieces) {
                Ok((template, pins)) => {
                    address.templates.push(template);
                    address.pins.extend(pins);
                    kept.push(pieces);
                }
                Err(why) => dropped.push((alternative, why)),
            }
        }
        if kept.is_empty() {
            return Err(dropped.into_iter().next().map_or_else(|| "it is empty".to_owned(), |(_, why)| why));
        }
        for (alternative, why) in dropped {
            self.fields.dropped.extend(expression::pieces(alternative).iter().filter_map(config_name));
            self.remarks.lost(key, format!("the alternative `{alternative}`: {why}"));
        }
        let uses = |pieces: &Vec<Piece<'_>>, name: &str| pieces.contains(&Piece::Config(name));
        for pieces in &kept {
            for place in places(pieces) {
                let needed = kept.iter().all(|other| uses(other, place.name));
                self.note(&place, needed);
            }
        }
        for pin in address.pins.iter().filter(|pin| host::shared(pin)) {
            let why = format!(
                "`{pin}` is a suffix under which others have hosts: pin it closer if you can, or see that these are \
                           all the provider's own customers, as `hosts_are_tenants` says"
            );
            self.remarks.lost(key, why);
        }
        Ok(address)
    }

    fn alternative(&mut self, pieces: &[Piece<'_>]) -> Result<(String, BTreeSet<String>), String> {
        match pieces.first() {
            Some(Piece::Text(text)) if text.starts_with(HTTPS) => {}
            Some(Piece::Config(name)) => {
                return Err(format!("its host is wholly `{name}`: there is nothing to pin"));
            }
            _ => return Err("it does not begin with https://".to_owned()),
        }
        // Before any name is given away.
        expression::template(pieces, |piece| match piece {
            Piece::Other(inner) => Err(expression::unknown(inner)),
            Piece::Config(_) | Piece::Text(_) => Ok(String::new()),
        })?;
        let pins = host::pins(&self.host(pieces)?)?;
        let template = expression::template(pieces, |piece| match piece {
            Piece::Config(name) => Ok(format!("{{{}}}", self.fields.name(name))),
            Piece::Other(inner) => Err(expression::unknown(inner)),
            Piece::Text(text) => Ok((*text).to_owned()),
        })?;
        Ok((template, pins))
    }

    fn host(&self, pieces: &[Piece<'_>]) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => {
                    let text = if index == 0 { text.strip_prefix(HTTPS).unwrap_or(text) } else { text };
                    let end = text.find(['/', '?', '#']);
                    parts.push(Part::Text(text[..end.unwrap_or(text.len())].to_owned()));
                    if end.is_some() {
                        break;
                    }
                }
                Piece::Config(name) => parts.push(match self.tails.get(*name) {
                    Some(tails) => Part::Tails(tails.clone()),
                    None => Part::Any((*name).to_owned()),
                }),
                Piece::Other(inner) => return Err(expression::unknown(inner)),
            }
        }
        Ok(parts)
    }

    fn note(&mut self, place: &Place<'_>, needed: bool) {
        let label_begins = place.before.is_some_and(|text| text.ends_with('.') || text == HTTPS);
        let behind = place.behind.filter(|text| text.starts_with('.'));
        let of_field = self.fields.used(place.name);
        of_field.needed |= needed;
        match (place.in_host, behind) {
            (false, _) => of_field.behind_host = true,
            (true, Some(behind)) if label_begins => {
                let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
                of_field.label_before.insert(behind[..end].to_owned());
            }
            (true, _) => of_field.part_of_host = true,
        }
    }
}

fn config_name(piece: &Piece<'_>) -> Option<String> {
    match piece {
        Piece::Config(name) => Some((*name).to_owned()),
        Piece::Text(_) | Piece::Other(_) => None,
    }
}

fn places<'a>(pieces: &[Piece<'a>]) -> Vec<Place<'a>> {
    let text = |index: Option<usize>| match index.and_then(|index| pieces.get(index)) {
        Some(Piece::Text(text)) => Some(*text),
        _ => None,
    };
    let mut in_host = true;
    let mut places = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => in_host &= !text.trim_start_matches(HTTPS).contains(['/', '?', '#']),
            Piece::Config(name) => places.push(Place {
                name,
                in_host,
                before: text(index.checked_sub(1)),
                behind: text(Some(index + 1)),
            }),
            Piece::Other(_) => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::template::Template;

    fn read(text: &str) -> (Result<Address, String>, Fields, Remarks) {
        let (mut fields, mut remarks) = (Fields::default(), Remarks::default());
        let whole = |text: &str| Tail { text: text.to_owned(), whole: true };
        let tails = BTreeMap::from([("region".to_owned(), vec![whole("eu"), whole("us")])]);
        let read = Reader { fields: &mut fields, remarks: &mut remarks, tails: &tails };
        let address = { read }.address("key", text);
        (address, fields, remarks)
    }

    #[test]
    fn an_address_becomes_templates_and_pins() {
        let (address, fields, remarks) = read(
            "https://${connectionConfig.subDomain}.acme.com/${connectionConfig.tenant}/a || https://${connectionConfig.region}.acme.com/a",
        );
        let address = address.unwrap();
        assert_eq!(
            address.templates,
            ["https://{sub_domain}.acme.com/{tenant}/a", "https://{region}.acme.com/a"]
        );
        assert_eq!(address.pins.into_iter().collect::<Vec<_>>(), [".acme.com", "eu.acme.com", "us.acme.com"]);
        let label = &fields.uses["subDomain"];
        assert!(
            label.label_before.contains(".acme.com") && !label.part_of_host && !label.needed,
            "{label:?}"
        );
        let tenant = &fields.uses["tenant"];
        assert!(tenant.behind_host && tenant.label_before.is_empty(), "{tenant:?}");
        assert!(remarks.0.is_empty(), "{remarks:?}");
    }

    #[test]
    fn an_alternative_that_cannot_be_pinned_is_left_out() {
        let (address, fields, remarks) =
            read("https://${connectionConfig.host}/a || https://login.acme.com/a");
        assert_eq!(address.unwrap().templates, ["https://login.acme.com/a"]);
        assert!(fields.uses.is_empty(), "{fields:?}");
        assert!(remarks.0[0].why.contains("which may be anything"), "{remarks:?}");
    }

    #[test]
    fn an_address_without_a_pin_is_refused() {
        for (bad, why) in [
            ("https://${connectionConfig.host}/a", "may be anything"),
            ("${connectionConfig.url}/a", "wholly `url`"),
            ("http://acme.com/a", "https"),
            ("https://acme.com:8443/a", "port"),
            ("https://${apiKey}.acme.com/a", "credential"),
            ("https://acme.com/${now}", "computed"),
            ("https://acme.com/{id}", "brace"),
            ("https://${connectionConfig.sub}.co.uk/a", "public suffix"),
            ("", "empty"),
        ] {
            let refused = read(bad).0.unwrap_err();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_loads_and_is_pinned(text in "(https://|\\$\\{connectionConfig\\.[a-z]{1,3}\\}|[a-z./?:|{}]{0,6}|\\.acme\\.com){0,6}") {
            if let Ok(address) = read(&text).0 {
                prop_assert!(!address.pins.is_empty());
                for template in &address.templates {
                    prop_assert!(Template::parse(template).is_ok(), "{}", template);
                }
            }
        }
    }
}
