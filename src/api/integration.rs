//! `tokenwell.integration.v1.IntegrationService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    convert::{non_empty, page_token, shown, timestamp},
    pb::integration::v1::{
        ClientFailure, CreateRequest, CreateResponse, DeleteRequest, DeleteResponse, GetRequest, GetResponse,
        Integration as PbIntegration, ListRequest, ListResponse, UpdateRequest, UpdateResponse,
        integration_service_server::IntegrationService,
    },
    respond,
};
use crate::{
    flow::{Flows, NewIntegration},
    model::{
        Caller, Error, Integration, IntegrationId, IntegrationUpdate, PageRequest, ProviderId, Result,
        SecretString, Settings,
    },
};

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    flows: Flows,
}

impl Service {
    pub(super) fn new(flows: Flows) -> Self {
        Self { flows }
    }

    async fn pb(&self, integration: Integration) -> Result<Option<PbIntegration>> {
        let settings = self.flows.get_settings(&integration.project_id).await?;
        Ok(Some(self.with_callback_url(integration, &settings)))
    }

    fn with_callback_url(&self, integration: Integration, settings: &Settings) -> PbIntegration {
        let url = self.flows.callback_url(settings, &integration.project_id, &integration.id);
        pb_integration(integration, url)
    }

    async fn do_create(&self, caller: Caller, request: CreateRequest) -> Result<CreateResponse> {
        let new = new_integration(given(request.integration)?)?;
        let integration = self.flows.create_integration(caller.project_id(), new).await?;
        Ok(CreateResponse { integration: self.pb(integration).await? })
    }

    async fn do_get(&self, caller: Caller, request: GetRequest) -> Result<GetResponse> {
        let id = IntegrationId::parse(&request.integration_id)?;
        let integration = self.flows.get_integration(caller.project_id(), &id).await?;
        Ok(GetResponse { integration: self.pb(integration).await? })
    }

    async fn do_list(&self, caller: Caller, request: ListRequest) -> Result<ListResponse> {
        let project = caller.project_id();
        let page = PageRequest::parse(request.page_size, &request.page_token, "integrations")?;
        let page = self.flows.list_integrations(project, &page).await?;
        let settings = self.flows.get_settings(project).await?;
        let next_page_token = page_token(&page);
        let page = page.map(|integration| self.with_callback_url(integration, &settings));
        Ok(ListResponse { integrations: page.items, next_page_token })
    }

    async fn do_update(&self, caller: Caller, request: UpdateRequest) -> Result<UpdateResponse> {
        let given = given(request.integration)?;
        let id = IntegrationId::parse(&given.integration_id)?;
        let paths = request.update_mask.map(|mask| mask.paths);
        let update = update(given, paths)?;
        let integration = self.flows.update_integration(caller.project_id(), &id, update).await?;
        Ok(UpdateResponse { integration: self.pb(integration).await? })
    }

    async fn do_delete(&self, caller: Caller, request: DeleteRequest) -> Result<DeleteResponse> {
        let id = IntegrationId::parse(&request.integration_id)?;
        self.flows.delete_integration(caller.project_id(), &id).await?;
        Ok(DeleteResponse {})
    }
}

#[async_trait]
impl IntegrationService for Service {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<CreateResponse>, Status> {
        respond(request, |caller, request| self.do_create(caller, request)).await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        respond(request, |caller, request| self.do_get(caller, request)).await
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        respond(request, |caller, request| self.do_list(caller, request)).await
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        respond(request, |caller, request| self.do_update(caller, request)).await
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        respond(request, |caller, request| self.do_delete(caller, request)).await
    }
}

fn given(integration: Option<PbIntegration>) -> Result<PbIntegration> {
    integration.ok_or_else(|| Error::field("integration", "is missing"))
}

fn new_integration(given: PbIntegration) -> Result<NewIntegration> {
    Ok(NewIntegration {
        id: IntegrationId::parse(&given.integration_id)?,
        provider_id: ProviderId::parse(&given.provider_id)?,
        client_id: given.client_id,
        client_secret: non_empty(given.client_secret).map(Into::into),
        further_client_secrets: secrets(given.further_client_secrets),
        private_key: non_empty(given.client_private_key).map(Into::into),
        private_key_id: non_empty(given.client_private_key_id),
        certificate: non_empty(given.client_certificate),
        allow_private_addresses: given.allow_private_addresses,
        scopes: given.scopes,
        user_scopes: given.user_scopes,
    })
}

/// The fields that the mask names, or without one those that are not empty.
fn update(given: PbIntegration, paths: Option<Vec<String>>) -> Result<IntegrationUpdate> {
    const FIELDS: [&str; 9] = [
        "client_id",
        "client_secret",
        "scopes",
        "user_scopes",
        "client_private_key",
        "client_private_key_id",
        "client_certificate",
        "further_client_secrets",
        "allow_private_addresses",
    ];
    let empty = [
        given.client_id.is_empty(),
        given.client_secret.is_empty(),
        given.scopes.is_empty(),
        given.user_scopes.is_empty(),
        given.client_private_key.is_empty(),
        given.client_private_key_id.is_empty(),
        given.client_certificate.is_empty(),
        given.further_client_secrets.is_empty(),
        !given.allow_private_addresses,
    ];
    let named = match paths {
        None => empty.map(|empty| !empty),
        Some(paths) => {
            if let Some(unknown) = paths.iter().find(|path| *path != "*" && !FIELDS.contains(&path.as_str()))
            {
                return Err(Error::field(
                    "update_mask",
                    format!("names `{}`, which cannot be changed", shown(unknown)),
                ));
            }
            FIELDS.map(|field| paths.iter().any(|path| path == field || path == "*"))
        }
    };
    let [
        client_id,
        client_secret,
        scopes,
        user_scopes,
        private_key,
        private_key_id,
        certificate,
        further,
        allow_private,
    ] = named;
    Ok(IntegrationUpdate {
        client_id: client_id.then_some(given.client_id),
        client_secret: client_secret.then(|| non_empty(given.client_secret).map(Into::into)),
        further_client_secrets: further.then(|| secrets(given.further_client_secrets)),
        private_key: private_key.then(|| non_empty(given.client_private_key).map(Into::into)),
        private_key_id: private_key_id.then(|| non_empty(given.client_private_key_id)),
        certificate: certificate.then(|| non_empty(given.client_certificate)),
        allow_private_addresses: allow_private.then_some(given.allow_private_addresses),
        scopes: scopes.then_some(given.scopes),
        user_scopes: user_scopes.then_some(given.user_scopes),
    })
}

fn secrets(given: Vec<String>) -> Vec<SecretString> {
    given.into_iter().map(Into::into).collect()
}

fn pb_integration(integration: Integration, callback_url: String) -> PbIntegration {
    PbIntegration {
        integration_id: integration.id.to_string(),
        provider_id: integration.provider_id.to_string(),
        client_id: integration.client_id,
        client_secret: String::new(),
        client_secret_set: integration.client_secret.is_some(),
        further_client_secrets: Vec::new(),
        // At most three.
        further_client_secrets_set: i32::try_from(integration.further_client_secrets.len())
            .unwrap_or(i32::MAX),
        client_failure: integration.failure.map(|failure| ClientFailure {
            oauth_error: failure.code,
            begin_time: Some(timestamp(failure.since)),
        }),
        client_private_key: String::new(),
        client_private_key_set: integration.private_key.is_some(),
        client_private_key_id: integration.private_key_id.unwrap_or_default(),
        client_certificate: integration.certificate.unwrap_or_default(),
        allow_private_addresses: integration.allow_private_addresses,
        scopes: integration.scopes,
        user_scopes: integration.user_scopes,
        callback_url,
        create_time: Some(timestamp(integration.create_time)),
        update_time: Some(timestamp(integration.update_time)),
    }
}
