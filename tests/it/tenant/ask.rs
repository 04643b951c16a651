//! Asking, and everything that is learned from an answer.

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt as _;

use super::fields::{Names, request};
use crate::caller::{Raw, path};

/// An answer as it came.
pub struct Answer {
    method: MethodDescriptor,
    sent: Vec<u8>,
    names: Names,
    headers: MetadataMap,
    pub body: Result<Vec<u8>, Status>,
}

/// What a caller learns from an answer, but for the names, which it knew.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    pub code: Code,
    pub reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
    fields: Vec<String>,
    retries: bool,
    details: usize,
    headers: BTreeMap<String, String>,
    /// Which fields the answer has.
    shape: Vec<String>,
}

/// Sends a request that names these. Of a stream, the first message counts.
pub async fn ask(
    channel: &Channel,
    authorization: Option<&str>,
    method: &MethodDescriptor,
    alternative: usize,
    names: &Names,
) -> Answer {
    send(channel, authorization, method, names, &request(&method.input(), names, alternative)).await
}

/// Sends this request.
pub async fn send(
    channel: &Channel,
    authorization: Option<&str>,
    method: &MethodDescriptor,
    names: &Names,
    message: &DynamicMessage,
) -> Answer {
    let sent = message.encode_to_vec();
    let mut request = Request::new(sent.clone().into());
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(value).unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path: PathAndQuery = path(method).parse().unwrap();
    let (headers, body) = match client.server_streaming(request, path, Raw).await {
        Ok(mut answer) => {
            let headers = answer.metadata().clone();
            let first = answer.get_mut().message().await;
            (headers, first.map(|message| message.expect("it was answered with nothing").to_vec()))
        }
        Err(status) => (status.metadata().clone(), Err(status)),
    };
    Answer { method: method.clone(), sent, names: names.clone(), headers, body }
}

impl Answer {
    pub fn facts(&self) -> Facts {
        let mut facts = Facts {
            code: Code::Ok,
            reason: String::new(),
            message: String::new(),
            metadata: BTreeMap::new(),
            fields: Vec::new(),
            retries: false,
            details: 0,
            headers: self.headers(),
            shape: Vec::new(),
        };
        match &self.body {
            Ok(_) => facts.shape = self.content().into_iter().map(|(field, _)| field).collect(),
            Err(status) => {
                let details = status.get_error_details();
                let info = details.error_info().expect("the status has no ErrorInfo");
                facts.code = status.code();
                facts.reason.clone_from(&info.reason);
                facts.message = self.unnamed(status.message());
                facts.metadata =
                    info.metadata.iter().map(|(key, value)| (key.clone(), self.unnamed(value))).collect();
                let fields = details.bad_request().map(|it| it.field_violations.clone()).unwrap_or_default();
                facts.fields = fields
                    .iter()
                    .map(|it| self.unnamed(&format!("{}: {}", it.field, it.description)))
                    .collect();
                facts.retries = details.retry_info().is_some();
                facts.details = status.details().len();
            }
        }
        facts
    }

    /// The message of an answer that is no error.
    pub fn message(&self) -> DynamicMessage {
        let body = self.body.as_ref().expect("the call was refused");
        DynamicMessage::decode(self.method.output(), body.as_slice()).unwrap()
    }

    /// Every field of it that is set, with what it says.
    pub fn content(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        content("", &self.message(), &mut fields);
        fields
    }

    /// Which of these texts the answer holds, and the request did not.
    pub fn told<'a>(&self, secrets: &'a [String]) -> Vec<&'a str> {
        let mut answer = format!("{:?}", self.headers).into_bytes();
        match &self.body {
            Ok(body) => answer.extend(body),
            Err(status) => {
                answer.extend(status.message().as_bytes());
                answer.extend(status.details());
            }
        }
        let told = secrets.iter().filter(|it| holds(&answer, it) && !holds(&self.sent, it));
        told.map(String::as_str).collect()
    }

    fn headers(&self) -> BTreeMap<String, String> {
        // What tells one call from another anyway.
        let own = ["x-request-id", "date"];
        let mut headers = BTreeMap::new();
        for entry in self.headers.iter() {
            if let tonic::metadata::KeyAndValueRef::Ascii(key, value) = entry
                && !own.contains(&key.as_str())
            {
                headers.insert(key.to_string(), self.unnamed(value.to_str().unwrap()));
            } else if let tonic::metadata::KeyAndValueRef::Binary(key, _) = entry {
                headers.insert(key.to_string(), String::new());
            }
        }
        headers
    }

    fn unnamed(&self, text: &str) -> String {
        self.names.values().fold(text.to_owned(), |text, name| text.replace(name, "it"))
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn content(place: &str, message: &DynamicMessage, fields: &mut Vec<(String, String)>) {
    for (field, value) in message.fields() {
        let place = format!("{place}.{}", field.name());
        match value {
            Value::Message(inner) => content(&place, inner, fields),
            Value::List(items) => {
                for (number, item) in items.iter().enumerate() {
                    let place = format!("{place}.{number}");
                    match item {
                        Value::Message(inner) => content(&place, inner, fields),
                        item => fields.push((place, format!("{item:?}"))),
                    }
                }
            }
            Value::Map(entries) => {
                let mut entries: Vec<_> = entries.iter().map(|entry| format!("{entry:?}")).collect();
                entries.sort();
                fields.push((place, entries.concat()));
            }
            value => fields.push((place, format!("{value:?}"))),
        }
    }
}
