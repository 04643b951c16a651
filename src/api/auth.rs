//! `tokenwell.auth.v1.AuthService`.

use futures::TryStreamExt as _;
use tonic::{Request, Response, Status, async_trait};

use super::{
    convert::{metadata, non_empty, pb_flow_news, string_map, timestamp},
    door::GatewayCaller,
    layer::signature::SignatureVerified,
    pb::auth::v1::{
        BeginRequest, BeginResponse, CompleteRequest, CompleteResponse, WatchRequest, WatchResponse,
        auth_service_server::AuthService, complete_request::End, complete_response,
    },
    status::status,
    watch::{Messages, answer},
};
use crate::{
    flow::{BeginInput, CompleteInput, Completed, Completer, Expected, FlowWatch, Flows, Outcome},
    model::{Caller, ConnectionId, Error, ExposeSecret as _, IntegrationId, Result, Uuid},
    provider::CallbackQuery,
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

    async fn do_begin(
        &self,
        caller: &Caller,
        proof: &SignatureVerified,
        request: BeginRequest,
    ) -> Result<BeginResponse> {
        let begun = self.flows.begin(caller, begin_input(request, proof)?).await?;
        Ok(BeginResponse {
            flow_id: begun.flow_id.to_string(),
            connect_url: begun.connect_url.expose_secret().to_owned(),
            authorization_url: begun.authorization_url.expose_secret().to_owned(),
            connection_id: begun.connection_id.to_string(),
            expire_time: Some(timestamp(begun.expire_time)),
        })
    }

    async fn do_watch(&self, caller: &Caller, request: &WatchRequest) -> Result<FlowWatch> {
        self.flows.watch_flow(caller, flow_id("flow_id", &request.flow_id)?).await
    }
}

#[async_trait]
impl AuthService for Service {
    type WatchStream = Messages<WatchResponse>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = super::caller(&request)?;
        let watch = self.do_watch(&caller, &request.into_inner()).await.map_err(|error| status(&error))?;
        Ok(answer(watch.into_stream().map_ok(|news| pb_flow_news(&news))))
    }

    async fn begin(&self, request: Request<BeginRequest>) -> Result<Response<BeginResponse>, Status> {
        let proof = request.extensions().get::<SignatureVerified>().cloned();
        let proof = proof.ok_or_else(|| status(&Error::internal("a Begin came without its proof")))?;
        let caller = super::caller(&request)?;
        let response = self.do_begin(&caller, &proof, request.into_inner()).await;
        response.map(Response::new).map_err(|error| status(&error))
    }

    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<CompleteResponse>, Status> {
        let completer = match request.extensions().get::<GatewayCaller>() {
            Some(gateway) => gateway.completer(),
            None => Completer::Backend(super::caller(&request)?.project_id().clone()),
        };
        let work = async {
            let (input, expected) = complete_input(request.into_inner())?;
            self.flows.complete(&completer, input, &expected).await
        };
        work.await.map(|it| Response::new(pb_completed(it))).map_err(|error| status(&error))
    }
}

fn flow_id(field: &str, text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::field(field, "is malformed: expected a UUID"))
}

fn begin_input(request: BeginRequest, proof: &SignatureVerified) -> Result<BeginInput> {
    Ok(BeginInput {
        integration_id: IntegrationId::parse(&request.integration_id)?,
        connection_id: non_empty(request.connection_id).map(|id| ConnectionId::parse(&id)).transpose()?,
        connection_config: string_map(request.connection_config),
        authorization_params: string_map(request.authorization_params),
        scopes: request.scopes,
        user_scopes: request.user_scopes,
        metadata: request.metadata.map(|object| metadata(Some(object))).transpose()?,
        return_url: non_empty(request.return_url),
        proven: proof.proven().clone(),
    })
}

fn complete_input(request: CompleteRequest) -> Result<(CompleteInput, Expected)> {
    match request.end {
        Some(End::Callback(callback)) => Ok((
            CompleteInput::Callback(CallbackQuery::parse(&callback.query)?),
            Expected { integration_id: callback.integration_id, connection_id: callback.connection_id },
        )),
        Some(End::Confirmation(confirmation)) => Ok((
            CompleteInput::Confirmation {
                flow_id: flow_id("confirmation.flow_id", &confirmation.flow_id)?,
                code: confirmation.code.into(),
            },
            Expected {
                integration_id: confirmation.integration_id,
                connection_id: confirmation.connection_id,
            },
        )),
        None => Err(Error::field("end", "is missing: give the callback or a confirmation")),
    }
}

fn pb_completed(completed: Completed) -> CompleteResponse {
    let (outcome, confirmation) = match completed.outcome {
        Outcome::Connected => (complete_response::Outcome::Connected, String::new()),
        Outcome::AwaitingConfirmation(code) => {
            (complete_response::Outcome::AwaitingConfirmation, code.expose_secret().to_owned())
        }
    };
    CompleteResponse {
        flow_id: completed.flow_id.to_string(),
        integration_id: completed.integration_id.to_string(),
        connection_id: completed.connection_id.to_string(),
        outcome: outcome.into(),
        return_url: completed.return_url.unwrap_or_default(),
        confirmation,
    }
}
