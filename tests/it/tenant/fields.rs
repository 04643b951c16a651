//! What goes into each field of each request, and the requests that are made of it.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use crate::caller::methods;

/// Values by field.
pub type Names = BTreeMap<&'static str, String>;

/// What a request says in a field.
#[derive(Clone, Copy)]
pub enum Content {
    /// Names something that a project has.
    Names,
    /// Names something that no project has to itself; or nothing at all, if it is empty. With the reason.
    Common(&'static str, &'static str),
    /// This text, so that there is something to do.
    Text(&'static str),
    /// This value, so that there is something to do.
    Made(fn() -> Value),
    /// Nothing: it names nothing, and nobody needs it.
    Left,
}

use Content::{Common, Left, Made, Names as Named, Text};

/// Every field of every request, by its name.
pub const FIELDS: [(&str, Content); 74] = [
    ("access_token", Text("imported")),
    ("all_dead", Made(|| Value::Bool(true))),
    ("allow_account_change", Left),
    ("allow_private_addresses", Left),
    ("allowed_origins", Left),
    ("allowed_return_urls", Left),
    ("api_key", Text("imported")),
    ("api_key_id", Named),
    ("authorization_params", Left),
    ("begin_time", Left),
    ("browser_binding", Left),
    ("callback_url", Left),
    ("client_certificate", Left),
    ("client_id", Common("stolen", "the provider gave it to whoever brings it")),
    ("client_private_key", Left),
    ("client_private_key_id", Common("", "the provider knows a key by it")),
    ("client_private_key_set", Left),
    ("client_secret", Text("stolen, too")),
    ("client_secret_set", Left),
    ("code", Named),
    ("completion", Left),
    ("connection_config", Left),
    ("connection_id", Named),
    ("create_time", Left),
    // A place in the feed, and a digest of whose feed it is. `watch::events` gives one to another project.
    ("cursor", Left),
    ("delivery_id", Named),
    ("disable_reason", Left),
    ("disable_time", Left),
    ("disabled", Left),
    ("display_name", Text("by another")),
    ("etag", Left),
    ("event_types", Left),
    ("expire_time", Left),
    ("first_failure_time", Left),
    ("flow_id", Named),
    ("force_refresh", Left),
    ("further_client_secrets", Left),
    ("further_client_secrets_set", Left),
    ("integration_id", Named),
    ("keys", Left),
    ("keys_set", Left),
    ("kind", Made(|| Value::EnumNumber(1))),
    ("max_lifetime", Left),
    ("metadata", Left),
    ("min_ttl", Left),
    ("oauth_consumer_key", Text("imported")),
    ("oauth_error", Left),
    ("oauth_token", Text("imported")),
    ("oauth_token_secret", Text("imported")),
    ("page_size", Left),
    // A place in a list. `every::a_page_token_of_another_project_leads_nowhere` gives one to another project.
    ("page_token", Left),
    ("password", Text("imported")),
    ("patch", Left),
    ("permissions", Made(|| Value::List(vec![Value::EnumNumber(3)]))),
    ("previous_secret_expire_time", Left),
    ("project_id", Named),
    ("provider_id", Common("sandbox", "the catalog is everybody's")),
    ("query", Named),
    ("refresh_token", Left),
    ("refuse_v1", Left),
    ("required", Left),
    ("return_url", Left),
    ("scopes", Left),
    ("signature", Left),
    ("skip_revocation", Left),
    ("status", Left),
    ("token_type", Left),
    ("update_mask", Left),
    ("update_time", Left),
    ("url", Text("https://hooks.example.com/of-another")),
    ("user_scopes", Left),
    ("username", Text("imported")),
    ("view", Left),
    ("webhook_id", Named),
];

/// A request with these names in it, and with the alternative of this number of every choice that it holds.
pub fn request(of: &MessageDescriptor, names: &Names, alternative: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let choice = field.containing_oneof();
        let chosen = |field: &FieldDescriptor| {
            choice.as_ref().is_none_or(|choice| {
                let fields: Vec<_> = choice.fields().collect();
                fields[alternative % fields.len()] == *field
            })
        };
        if !chosen(&field) {
            continue;
        }
        if let Some(inner) = message_of_ours(&field) {
            message.set_field(&field, Value::Message(request(&inner, names, alternative)));
            continue;
        }
        let value = match content(field.name()) {
            Named => Value::String(names[field.name()].clone()),
            Common(text, _) | Text(text) => Value::String(text.to_owned()),
            Made(make) => make(),
            Left => continue,
        };
        message.set_field(&field, value);
    }
    message
}

/// How many requests it takes until every alternative was in one.
pub fn alternatives(of: &MessageDescriptor) -> usize {
    let own = of.oneofs().map(|choice| choice.fields().count());
    let inner = of.fields().filter_map(|field| message_of_ours(&field)).map(|inner| alternatives(&inner));
    own.chain(inner).max().unwrap_or(1)
}

/// Whether a request names anything.
pub fn names_something(of: &MessageDescriptor) -> bool {
    let mut names = BTreeSet::new();
    leaves(of, &mut names);
    names.iter().any(|name| matches!(content(name), Named))
}

fn content(name: &str) -> Content {
    let found = FIELDS.iter().find(|(field, _)| *field == name);
    found.unwrap_or_else(|| panic!("say in FIELDS what goes into the field `{name}`")).1
}

fn message_of_ours(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(inner) if !field.is_list() && inner.full_name().starts_with("tokenwell.") => {
            (!inner.is_map_entry()).then_some(inner)
        }
        _ => None,
    }
}

fn leaves(of: &MessageDescriptor, names: &mut BTreeSet<String>) {
    for field in of.fields() {
        match message_of_ours(&field) {
            Some(inner) => leaves(&inner, names),
            None => drop(names.insert(field.name().to_owned())),
        }
    }
}

#[test]
fn the_table_has_exactly_the_fields_of_the_requests() {
    let mut described = BTreeSet::new();
    for method in methods() {
        leaves(&method.input(), &mut described);
    }
    let listed: BTreeSet<_> = FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, described);
    assert_eq!(listed.len(), FIELDS.len(), "a field is there twice");
    // What is called an id names something, unless the table says why it does not.
    for (name, content) in FIELDS {
        assert!(!(name.ends_with("_id") && matches!(content, Left | Text(_) | Made(_))), "{name}");
        assert!(!matches!(content, Common(_, "")), "{name} is nobody's for no reason");
    }
}
