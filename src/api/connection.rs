//! `tokenwell.connection.v1.ConnectionService`.

use futures::TryStreamExt as _;
use tokio::time::Instant;
use tonic::{Request, Response, Status, async_trait};

use super::{
    convert::{
        duration, event_types, imported, json_object, metadata, non_empty, page_token, pb_connection,
        pb_feed_news, pb_granted, pb_struct, string_map,
    },
    layer::deadline::CallDeadline,
    pb::connection::v1::{
        DeleteRequest, DeleteResponse, GetConfigRequest, GetConfigResponse, GetMetadataRequest,
        GetMetadataResponse, GetRequest, GetResponse, ImportRequest, ImportResponse, ListRequest,
        ListResponse, SetMetadataRequest, SetMetadataResponse, UpdateConfigRequest, UpdateConfigResponse,
        UpdateMetadataRequest, UpdateMetadataResponse, View, WatchRequest, WatchResponse,
        connection_service_server::ConnectionService,
    },
    respond,
    status::status,
    watch::{Messages, answer},
};
use crate::{
    flow::{ConnectionWatch, Flows, GetInput, ImportInput},
    model::{
        Caller, Connection, ConnectionId, IntegrationId, Metadata, PageRequest, Permission, Result, etag,
    },
    store::EventFilter,
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

    async fn do_get(
        &self,
        caller: Caller,
        request: GetRequest,
        deadline: Option<Instant>,
    ) -> Result<GetResponse> {
        let basic = request.view == i32::from(View::Basic);
        let (integration_id, connection_id) = names(&request.integration_id, &request.connection_id)?;
        if basic {
            let connection =
                self.flows.get_connection(caller.project_id(), &integration_id, &connection_id).await?;
            return Ok(GetResponse { connection: Some(pb_connection(&connection)) });
        }
        caller.require(Permission::ReadCredentials)?;
        let input = GetInput {
            integration_id,
            connection_id,
            min_ttl: request.min_ttl.map(duration),
            force_refresh: request.force_refresh,
            deadline,
        };
        let granted = self.flows.get_token(caller.project_id(), &input).await?;
        Ok(GetResponse { connection: Some(pb_granted(&granted)) })
    }

    async fn do_list(&self, caller: Caller, request: ListRequest) -> Result<ListResponse> {
        let integration = match request.integration_id.as_str() {
            "" => None,
            id => Some(IntegrationId::parse(id)?),
        };
        let filter = format!("connections of {}", request.integration_id);
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let page = self.flows.list_connections(caller.project_id(), integration.as_ref(), &page).await?;
        Ok(ListResponse {
            next_page_token: page_token(&page),
            connections: page.items.iter().map(pb_connection).collect(),
        })
    }

    async fn do_delete(&self, caller: Caller, request: DeleteRequest) -> Result<DeleteResponse> {
        let (integration, id) = names(&request.integration_id, &request.connection_id)?;
        if request.skip_revocation {
            self.flows.forget_connection(caller.project_id(), &integration, &id).await?;
        } else {
            self.flows.delete_connection(caller.project_id(), &integration, &id).await?;
        }
        Ok(DeleteResponse {})
    }

    async fn named(&self, caller: &Caller, integration: &str, id: &str) -> Result<Connection> {
        let (integration, id) = names(integration, id)?;
        self.flows.get_connection(caller.project_id(), &integration, &id).await
    }

    async fn do_get_config(&self, caller: Caller, request: GetConfigRequest) -> Result<GetConfigResponse> {
        let connection = self.named(&caller, &request.integration_id, &request.connection_id).await?;
        Ok(GetConfigResponse { connection_config: connection.config.into_iter().collect() })
    }

    async fn do_update_config(
        &self,
        caller: Caller,
        request: UpdateConfigRequest,
    ) -> Result<UpdateConfigResponse> {
        let name = names(&request.integration_id, &request.connection_id)?;
        let given = string_map(request.connection_config);
        let config = self.flows.update_config(caller.project_id(), (&name.0, &name.1), &given).await?;
        Ok(UpdateConfigResponse { connection_config: config.into_iter().collect() })
    }

    async fn do_import(&self, caller: Caller, request: ImportRequest) -> Result<ImportResponse> {
        let input = ImportInput {
            integration_id: IntegrationId::parse(&request.integration_id)?,
            connection_id: non_empty(request.connection_id).map(|id| ConnectionId::parse(&id)).transpose()?,
            connection_config: string_map(request.connection_config),
            metadata: request.metadata.map(|object| metadata(Some(object))).transpose()?,
            credentials: imported(request.credentials)?,
        };
        let project = caller.project_id();
        let integration = input.integration_id.clone();
        let id = self.flows.import(project, input).await?;
        let connection = self.flows.get_connection(project, &integration, &id).await?;
        Ok(ImportResponse { connection: Some(pb_connection(&connection)) })
    }

    async fn do_get_metadata(
        &self,
        caller: Caller,
        request: GetMetadataRequest,
    ) -> Result<GetMetadataResponse> {
        let connection = self.named(&caller, &request.integration_id, &request.connection_id).await?;
        Ok(GetMetadataResponse {
            etag: connection.etag(),
            metadata: Some(pb_struct(connection.metadata.as_map())),
        })
    }

    async fn do_set_metadata(&self, caller: Caller, request: SetMetadataRequest) -> Result<(Metadata, i64)> {
        let (integration, id) = names(&request.integration_id, &request.connection_id)?;
        let metadata = metadata(request.metadata)?;
        self.flows.set_metadata(caller.project_id(), (&integration, &id), metadata, &request.etag).await
    }

    async fn do_update_metadata(
        &self,
        caller: Caller,
        request: UpdateMetadataRequest,
    ) -> Result<(Metadata, i64)> {
        let (integration, id) = names(&request.integration_id, &request.connection_id)?;
        let patch = json_object("patch", request.patch.unwrap_or_default())?;
        self.flows.update_metadata(caller.project_id(), (&integration, &id), patch, &request.etag).await
    }

    async fn do_watch(&self, caller: &Caller, request: WatchRequest) -> Result<ConnectionWatch> {
        let filter = EventFilter {
            integration_id: non_empty(request.integration_id)
                .map(|id| IntegrationId::parse(&id))
                .transpose()?,
            connection_id: non_empty(request.connection_id).map(|id| ConnectionId::parse(&id)).transpose()?,
            types: event_types(&request.event_types)?,
        };
        self.flows.watch_connections(caller, filter, &request.cursor).await
    }
}

#[async_trait]
impl ConnectionService for Service {
    type WatchStream = Messages<WatchResponse>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = super::caller(&request)?;
        let watch = self.do_watch(&caller, request.into_inner()).await.map_err(|error| status(&error))?;
        Ok(answer(watch.into_stream().map_ok(|news| pb_feed_news(&news))))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let deadline = request.extensions().get().map(|CallDeadline(deadline)| *deadline);
        respond(request, |caller, request| self.do_get(caller, request, deadline)).await
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        respond(request, |caller, request| self.do_list(caller, request)).await
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        respond(request, |caller, request| self.do_delete(caller, request)).await
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        respond(request, |caller, request| self.do_get_config(caller, request)).await
    }

    async fn update_config(
        &self,
        request: Request<UpdateConfigRequest>,
    ) -> Result<Response<UpdateConfigResponse>, Status> {
        respond(request, |caller, request| self.do_update_config(caller, request)).await
    }

    async fn import(&self, request: Request<ImportRequest>) -> Result<Response<ImportResponse>, Status> {
        respond(request, |caller, request| self.do_import(caller, request)).await
    }

    async fn get_metadata(
        &self,
        request: Request<GetMetadataRequest>,
    ) -> Result<Response<GetMetadataResponse>, Status> {
        respond(request, |caller, request| self.do_get_metadata(caller, request)).await
    }

    async fn set_metadata(
        &self,
        request: Request<SetMetadataRequest>,
    ) -> Result<Response<SetMetadataResponse>, Status> {
        respond(request, |caller, request| async {
            let (metadata, version) = self.do_set_metadata(caller, request).await?;
            Ok(SetMetadataResponse { metadata: Some(pb_struct(metadata.as_map())), etag: etag(version) })
        })
        .await
    }

    async fn update_metadata(
        &self,
        request: Request<UpdateMetadataRequest>,
    ) -> Result<Response<UpdateMetadataResponse>, Status> {
        respond(request, |caller, request| async {
            let (metadata, version) = self.do_update_metadata(caller, request).await?;
            Ok(UpdateMetadataResponse { metadata: Some(pb_struct(metadata.as_map())), etag: etag(version) })
        })
        .await
    }
}

fn names(integration: &str, connection: &str) -> Result<(IntegrationId, ConnectionId)> {
    Ok((IntegrationId::parse(integration)?, ConnectionId::parse(connection)?))
}
