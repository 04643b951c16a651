//! Every method, asked by everybody who may not have what is asked for.
//!
//! The methods, their requests and the permission that each takes come from the descriptors. What is asked for is there, in
//! the project `default`; and once more it is not there at all, which must not make a difference.

use std::collections::BTreeSet;

use prost_reflect::{MethodDescriptor, Value};
use tokenwell::api::pb::project::v1::Permission;
use tonic::Code;

use super::{
    ask::{Answer, ask, send},
    fields::{alternatives, names_something, request},
    world::World,
};
use crate::{
    caller::{documented, methods, path},
    support::database::Kind,
};

/// What a caller of another project gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// That it is not there: this reason, with `NOT_FOUND`.
    Missing(&'static str),
    /// Something of its own project, or of everybody's.
    Own,
    /// What administrators of the instance manage: projects and their names. Nobody else is let in.
    Instance,
}

use Outcome::{Instance, Missing, Own};

/// Every method, in an order in which the project itself can call them all: who deletes comes last.
const METHODS: [(&str, Outcome); 36] = [
    ("tokenwell.auth.v1.AuthService.Watch", Missing("FLOW_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.Get", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.List", Own),
    ("tokenwell.connection.v1.ConnectionService.GetConfig", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.GetMetadata", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.Watch", Own),
    ("tokenwell.integration.v1.IntegrationService.Get", Missing("INTEGRATION_NOT_FOUND")),
    ("tokenwell.integration.v1.IntegrationService.List", Own),
    ("tokenwell.project.v1.ProjectService.List", Instance),
    ("tokenwell.project.v1.ProjectService.GetSettings", Own),
    ("tokenwell.project.v1.ProjectService.ListApiKeys", Own),
    ("tokenwell.provider.v1.ProviderService.Get", Own),
    ("tokenwell.provider.v1.ProviderService.List", Own),
    ("tokenwell.webhook.v1.WebhookService.Get", Missing("WEBHOOK_NOT_FOUND")),
    ("tokenwell.webhook.v1.WebhookService.List", Own),
    ("tokenwell.webhook.v1.WebhookService.ListDeliveries", Missing("WEBHOOK_NOT_FOUND")),
    ("tokenwell.auth.v1.AuthService.Begin", Missing("INTEGRATION_NOT_FOUND")),
    ("tokenwell.auth.v1.AuthService.Complete", Missing("FLOW_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.UpdateConfig", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.SetMetadata", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.UpdateMetadata", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.Import", Missing("INTEGRATION_NOT_FOUND")),
    ("tokenwell.webhook.v1.WebhookService.Create", Own),
    ("tokenwell.webhook.v1.WebhookService.Update", Missing("WEBHOOK_NOT_FOUND")),
    ("tokenwell.webhook.v1.WebhookService.RotateSecret", Missing("WEBHOOK_NOT_FOUND")),
    ("tokenwell.webhook.v1.WebhookService.Test", Missing("WEBHOOK_NOT_FOUND")),
    ("tokenwell.webhook.v1.WebhookService.Redeliver", Missing("WEBHOOK_NOT_FOUND")),
    ("tokenwell.project.v1.ProjectService.Create", Instance),
    ("tokenwell.project.v1.ProjectService.UpdateSettings", Own),
    ("tokenwell.project.v1.ProjectService.CreateApiKey", Own),
    ("tokenwell.project.v1.ProjectService.RevokeApiKey", Missing("API_KEY_NOT_FOUND")),
    ("tokenwell.integration.v1.IntegrationService.Create", Own),
    ("tokenwell.integration.v1.IntegrationService.Update", Missing("INTEGRATION_NOT_FOUND")),
    ("tokenwell.connection.v1.ConnectionService.Delete", Missing("CONNECTION_NOT_FOUND")),
    ("tokenwell.integration.v1.IntegrationService.Delete", Missing("INTEGRATION_NOT_FOUND")),
    ("tokenwell.webhook.v1.WebhookService.Delete", Missing("WEBHOOK_NOT_FOUND")),
];

/// A method with one of the alternatives that its request has.
struct Case {
    method: MethodDescriptor,
    outcome: Outcome,
    alternative: usize,
}

/// The table with what the descriptors know.
fn cases() -> Vec<Case> {
    let described = methods();
    let of = |(name, outcome): (&str, Outcome)| {
        let method = described.iter().find(|method| method.full_name() == name);
        let method = method.unwrap_or_else(|| panic!("there is no method {name}")).clone();
        (0..alternatives(&method.input())).map(move |alternative| Case {
            method: method.clone(),
            outcome,
            alternative,
        })
    };
    METHODS.into_iter().flat_map(of).collect()
}

impl Case {
    fn name(&self) -> String {
        format!("{} ({})", self.method.full_name(), self.alternative)
    }

    /// Asks for what is there and for what is not. What differs between the answers tells one from the other.
    async fn compare(&self, world: &World, caller: &str, authorization: Option<&str>) -> Answer {
        let of = |names| ask(&world.channel, authorization, &self.method, self.alternative, names);
        let (theirs, nobodys) = (of(&world.theirs).await, of(&world.nobodys).await);
        assert_eq!(theirs.facts(), nobodys.facts(), "{} by {caller}", self.name());
        for answer in [&theirs, &nobodys] {
            assert_eq!(answer.told(&world.secrets), [""; 0], "{} by {caller}", self.name());
        }
        theirs
    }

    /// Asks as somebody who is not let in.
    async fn refused(&self, world: &World, caller: &str, authorization: Option<&str>, reason: &str) {
        let facts = self.compare(world, caller, authorization).await.facts();
        assert_eq!(facts.reason, reason, "{} by {caller}", self.name());
        let code =
            if reason == "PERMISSION_MISSING" { Code::PermissionDenied } else { Code::Unauthenticated };
        assert_eq!(facts.code, code, "{} by {caller}", self.name());
    }

    /// Asks as somebody of another project who may call this method there.
    async fn missed(&self, world: &World, caller: &str, authorization: Option<&str>) {
        let facts = self.compare(world, caller, authorization).await.facts();
        let expected = match self.outcome {
            Missing(reason) => (Code::NotFound, reason),
            Own | Instance => (Code::Ok, ""),
        };
        assert_eq!((facts.code, facts.reason.as_str()), expected, "{} by {caller}", self.name());
    }
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// What the project itself reads of all that it has.
async fn inventory(world: &World) -> Vec<(String, Vec<(String, String)>)> {
    let mut read = Vec::new();
    for case in cases() {
        let reads = ["Get", "List"].iter().any(|verb| case.method.name().starts_with(verb));
        // The list of projects grows by those that ask.
        if (reads && case.outcome != Instance) || case.method.full_name() == METHODS[0].0 {
            let key = bearer(&world.server.key);
            let answer = ask(&world.channel, Some(&key), &case.method, 0, &world.theirs).await;
            read.push((case.name(), answer.content()));
        }
    }
    read
}

async fn nobody_else_learns_or_changes_anything(kind: Kind) {
    let world = World::new(kind).await;
    let before = inventory(&world).await;
    let unknown = bearer(&format!("tw_sk_{}", "A".repeat(43)));
    for (number, case) in cases().into_iter().enumerate() {
        case.refused(&world, "nobody", None, "API_KEY_MISSING").await;
        for (caller, key) in [("a revoked key", &world.revoked), ("an expired key", &world.expired)] {
            case.refused(&world, caller, Some(&bearer(key)), "API_KEY_INVALID").await;
        }
        case.refused(&world, "a malformed key", Some("Bearer nonsense"), "API_KEY_INVALID").await;
        case.refused(&world, "an unknown key", Some(&unknown), "API_KEY_INVALID").await;
        let needed = documented(&case.method);
        let (_, without) = world.without.iter().find(|(missing, _)| *missing == needed).unwrap();
        case.refused(&world, "a key without the permission", Some(&bearer(without)), "PERMISSION_MISSING")
            .await;

        // What a caller makes of its own with these names is not there for the next one.
        let other = world.other(&format!("other-{number:03}")).await;
        let (full, admin) = (bearer(&other.full), bearer(&other.admin));
        let publishable = bearer(&other.publishable);
        if needed == Permission::Begin {
            case.missed(&world, "another project's publishable key", Some(&publishable)).await;
        } else {
            let own = bearer(&world.publishable);
            case.refused(&world, "a publishable key", Some(&own), "PERMISSION_MISSING").await;
            let caller = "another project's publishable key";
            case.refused(&world, caller, Some(&publishable), "PERMISSION_MISSING").await;
        }
        if case.outcome == Instance {
            case.refused(&world, "another project's key", Some(&full), "PERMISSION_MISSING").await;
            let answer = ask(&world.channel, Some(&admin), &case.method, 0, &world.theirs).await;
            assert_eq!(answer.told(&world.secrets), [""; 0], "{}", case.name());
        } else {
            case.missed(&world, "another project's key", Some(&full)).await;
            let other = world.other(&format!("admin-{number:03}")).await;
            case.missed(&world, "an administrator elsewhere", Some(&bearer(&other.admin))).await;
        }
    }
    for ((read, after), (_, before)) in inventory(&world).await.into_iter().zip(before) {
        assert_eq!(after, before, "{read}");
    }
    assert_eq!(world.provider.sandbox.book().refreshes, 0);

    // The project itself gets all of it: what was asked above was there.
    let own = bearer(&world.server.key);
    for case in cases() {
        let of = |names| ask(&world.channel, Some(&own), &case.method, case.alternative, names);
        let facts = of(&world.theirs).await.facts();
        match case.outcome {
            Missing(reason) => {
                assert!(names_something(&case.method.input()), "{} names nothing", case.name());
                assert_ne!(facts.reason, reason, "{}", case.name());
                assert_eq!(of(&world.nobodys).await.facts().code, Code::NotFound, "{}", case.name());
            }
            Own | Instance => {
                assert!([Code::Ok, Code::AlreadyExists].contains(&facts.code), "{} {facts:?}", case.name());
            }
        }
    }
}

#[tokio::test]
async fn nobody_else_learns_or_changes_anything_in_sqlite() {
    nobody_else_learns_or_changes_anything(Kind::Sqlite).await;
}

#[tokio::test]
async fn nobody_else_learns_or_changes_anything_in_postgres() {
    nobody_else_learns_or_changes_anything(Kind::Postgres).await;
}

#[test]
fn the_table_has_exactly_the_methods_of_the_descriptors() {
    let described: BTreeSet<_> = methods().iter().map(|it| it.full_name().to_owned()).collect();
    let listed: BTreeSet<_> = METHODS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, described);
    let paths: BTreeSet<_> = cases().iter().map(|case| path(&case.method)).collect();
    assert_eq!(paths.len(), METHODS.len());
}

/// A page token holds the key of a row, and nothing of it is shown to whoever has the token.
#[tokio::test]
async fn a_page_token_of_another_project_leads_nowhere() {
    let world = World::new(Kind::Sqlite).await;
    world.furnish_twice().await;
    let other = world.other("other").await;
    let mut lists = 0;
    for case in cases() {
        let input = case.method.input();
        if input.get_field_by_name("page_token").is_none() || case.outcome == Instance {
            continue;
        }
        lists += 1;
        let mut page = request(&input, &world.theirs, 0);
        page.set_field_by_name("page_size", Value::I32(1));
        let own = bearer(&world.server.key);
        let answer = send(&world.channel, Some(&own), &case.method, &world.theirs, &page).await.message();
        let token = answer.get_field_by_name("next_page_token").unwrap().as_str().unwrap().to_owned();
        assert_ne!(token, "", "{} has no second page", case.name());
        page.set_field_by_name("page_token", Value::String(token));
        let answer =
            send(&world.channel, Some(&bearer(&other.full)), &case.method, &world.theirs, &page).await;
        assert_eq!(answer.told(&world.secrets), [""; 0], "{}", case.name());
    }
    assert!(lists >= 5, "{lists}");
}
