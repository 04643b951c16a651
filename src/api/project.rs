//! `tokenwell.project.v1.ProjectService`.

use prost_types::Duration as PbDuration;
use tonic::{Request, Response, Status, async_trait};

use super::{
    convert::{non_empty, page_token, pb_api_key, permission, shown, time, timestamp},
    pb::project::v1::{
        ApiKeyKind, Completion as PbCompletion, CreateApiKeyRequest, CreateApiKeyResponse, CreateRequest,
        CreateResponse, GetSettingsRequest, GetSettingsResponse, HmacSettings, ListApiKeysRequest,
        ListApiKeysResponse, ListRequest, ListResponse, Project as PbProject, RevokeApiKeyRequest,
        RevokeApiKeyResponse, Settings as PbSettings, UpdateSettingsRequest, UpdateSettingsResponse,
        project_service_server::ProjectService,
    },
    respond,
};
use crate::{
    flow::{Flows, NewApiKey},
    model::{
        Caller, Completion, Error, ExposeSecret as _, KeyKind, PageRequest, Permission, Project, ProjectId,
        Result, SIGNATURE_LIFETIME, Settings, Uuid,
    },
};

/// The fields that an update may name.
const PATHS: [&str; 9] = [
    "hmac.required",
    "hmac.refuse_v1",
    "hmac.keys",
    "hmac.max_lifetime",
    "callback_url",
    "allowed_return_urls",
    "allowed_origins",
    "completion",
    "browser_binding",
];

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    flows: Flows,
}

impl Service {
    pub(super) fn new(flows: Flows) -> Self {
        Self { flows }
    }

    async fn do_create(&self, _: Caller, request: CreateRequest) -> Result<CreateResponse> {
        let id = ProjectId::parse(&request.project_id)?;
        let (project, key, secret) = self.flows.create_project(id, request.display_name).await?;
        Ok(CreateResponse {
            project: Some(pb_project(&project)),
            api_key: Some(pb_api_key(&key)),
            secret: secret.expose_secret().to_owned(),
        })
    }

    async fn do_list(&self, _: Caller, request: ListRequest) -> Result<ListResponse> {
        let page = PageRequest::parse(request.page_size, &request.page_token, "projects")?;
        let page = self.flows.list_projects(&page).await?;
        Ok(ListResponse {
            next_page_token: page_token(&page),
            projects: page.items.iter().map(pb_project).collect(),
        })
    }

    async fn do_get_settings(&self, caller: Caller, _: GetSettingsRequest) -> Result<GetSettingsResponse> {
        let settings = self.flows.get_settings(caller.project_id()).await?;
        Ok(GetSettingsResponse { settings: Some(pb_settings(&settings)) })
    }

    async fn do_update_settings(
        &self,
        caller: Caller,
        request: UpdateSettingsRequest,
    ) -> Result<UpdateSettingsResponse> {
        let given = request.settings.unwrap_or_default();
        let paths = paths(&given, request.update_mask.map(|mask| mask.paths))?;
        let completion = completion(given.completion)?;
        let change = |settings: &mut Settings| apply(settings, &given, completion, &paths);
        let settings = self.flows.update_settings(caller.project_id(), change).await?;
        Ok(UpdateSettingsResponse { settings: Some(pb_settings(&settings)) })
    }

    async fn do_create_api_key(
        &self,
        caller: Caller,
        request: CreateApiKeyRequest,
    ) -> Result<CreateApiKeyResponse> {
        let (key, secret) = self.flows.create_api_key(&caller, new_api_key(request)?).await?;
        Ok(CreateApiKeyResponse {
            api_key: Some(pb_api_key(&key)),
            secret: secret.expose_secret().to_owned(),
        })
    }

    async fn do_list_api_keys(
        &self,
        caller: Caller,
        request: ListApiKeysRequest,
    ) -> Result<ListApiKeysResponse> {
        let page = PageRequest::parse(request.page_size, &request.page_token, "API keys")?;
        let page = self.flows.list_api_keys(caller.project_id(), &page).await?;
        Ok(ListApiKeysResponse {
            next_page_token: page_token(&page),
            api_keys: page.items.iter().map(pb_api_key).collect(),
        })
    }

    async fn do_revoke_api_key(
        &self,
        caller: Caller,
        request: RevokeApiKeyRequest,
    ) -> Result<RevokeApiKeyResponse> {
        let id: Result<Uuid, _> = request.api_key_id.parse();
        let id = id.map_err(|_| Error::field("api_key_id", "is malformed: expected a UUID"))?;
        let key = self.flows.revoke_api_key(caller.project_id(), id).await?;
        Ok(RevokeApiKeyResponse { api_key: Some(pb_api_key(&key)) })
    }
}

#[async_trait]
impl ProjectService for Service {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<CreateResponse>, Status> {
        respond(request, |caller, request| self.do_create(caller, request)).await
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        respond(request, |caller, request| self.do_list(caller, request)).await
    }

    async fn get_settings(
        &self,
        request: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        respond(request, |caller, request| self.do_get_settings(caller, request)).await
    }

    async fn update_settings(
        &self,
        request: Request<UpdateSettingsRequest>,
    ) -> Result<Response<UpdateSettingsResponse>, Status> {
        respond(request, |caller, request| self.do_update_settings(caller, request)).await
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        respond(request, |caller, request| self.do_create_api_key(caller, request)).await
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        respond(request, |caller, request| self.do_list_api_keys(caller, request)).await
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        respond(request, |caller, request| self.do_revoke_api_key(caller, request)).await
    }
}

/// The fields that the mask names, or without one those that are not empty.
fn paths(given: &PbSettings, mask: Option<Vec<String>>) -> Result<Vec<&'static str>> {
    let Some(mask) = mask else {
        let hmac = given.hmac.clone().unwrap_or_default();
        let filled = [
            hmac.required,
            hmac.refuse_v1,
            !hmac.keys.is_empty(),
            hmac.max_lifetime.is_some(),
            !given.callback_url.is_empty(),
            !given.allowed_return_urls.is_empty(),
            !given.allowed_origins.is_empty(),
            given.completion != 0,
            given.browser_binding,
        ];
        return Ok(PATHS
            .into_iter()
            .zip(filled)
            .filter_map(|(path, filled)| filled.then_some(path))
            .collect());
    };
    let covers = |name: &str, path: &str| {
        name == "*" || name == path || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
    };
    if let Some(unknown) = mask.iter().find(|name| !PATHS.iter().any(|path| covers(name, path))) {
        return Err(Error::field("update_mask", format!("names `{}`, which is no setting", shown(unknown))));
    }
    Ok(PATHS.into_iter().filter(|path| mask.iter().any(|name| covers(name, path))).collect())
}

fn apply(settings: &mut Settings, given: &PbSettings, completion: Completion, paths: &[&str]) {
    let hmac = given.hmac.clone().unwrap_or_default();
    for path in paths {
        match *path {
            "hmac.required" => settings.hmac_required = hmac.required,
            "hmac.refuse_v1" => settings.hmac_refuse_v1 = hmac.refuse_v1,
            "hmac.keys" => settings.hmac_keys = hmac.keys.iter().map(|key| key.clone().into()).collect(),
            "hmac.max_lifetime" => settings.hmac_max_lifetime_seconds = lifetime_seconds(hmac.max_lifetime),
            "callback_url" => settings.callback_url = non_empty(given.callback_url.clone()),
            "allowed_return_urls" => settings.allowed_return_urls.clone_from(&given.allowed_return_urls),
            "allowed_origins" => settings.allowed_origins.clone_from(&given.allowed_origins),
            "completion" => settings.completion = completion,
            _ => settings.browser_binding = given.browser_binding,
        }
    }
}

/// In whole seconds; what is none is out of every range.
fn lifetime_seconds(given: Option<PbDuration>) -> i64 {
    match given {
        Some(PbDuration { seconds, nanos: 0 }) => seconds,
        Some(_) => 0,
        None => SIGNATURE_LIFETIME.whole_seconds(),
    }
}

fn completion(value: i32) -> Result<Completion> {
    match PbCompletion::try_from(value) {
        Ok(PbCompletion::Unspecified | PbCompletion::Automatic) => Ok(Completion::Automatic),
        Ok(PbCompletion::Confirm) => Ok(Completion::Confirm),
        Err(_) => Err(Error::field("completion", format!("is `{value}`, which is no completion"))),
    }
}

fn new_api_key(request: CreateApiKeyRequest) -> Result<NewApiKey> {
    let kind = match ApiKeyKind::try_from(request.kind) {
        Ok(ApiKeyKind::Unspecified | ApiKeyKind::Secret) => KeyKind::Secret,
        Ok(ApiKeyKind::Publishable) => KeyKind::Publishable,
        Err(_) => {
            return Err(Error::field("kind", format!("is `{}`, which is no kind of key", request.kind)));
        }
    };
    let mut permissions: Vec<Permission> =
        request.permissions.iter().map(|value| permission(*value)).collect::<Result<_>>()?;
    if kind == KeyKind::Publishable && permissions.is_empty() {
        permissions.push(Permission::Begin);
    }
    Ok(NewApiKey {
        display_name: request.display_name,
        kind,
        permissions,
        expire_time: request.expire_time.map(|at| time("expire_time", at)).transpose()?,
    })
}

fn pb_project(project: &Project) -> PbProject {
    PbProject {
        project_id: project.id.to_string(),
        display_name: project.display_name.clone(),
        create_time: Some(timestamp(project.create_time)),
    }
}

fn pb_settings(settings: &Settings) -> PbSettings {
    PbSettings {
        hmac: Some(HmacSettings {
            required: settings.hmac_required,
            refuse_v1: settings.hmac_refuse_v1,
            keys: Vec::new(),
            keys_set: i32::try_from(settings.hmac_keys.len()).unwrap_or(i32::MAX),
            max_lifetime: (settings.hmac_max_lifetime() != SIGNATURE_LIFETIME)
                .then_some(PbDuration { seconds: settings.hmac_max_lifetime_seconds, nanos: 0 }),
        }),
        callback_url: settings.callback_url.clone().unwrap_or_default(),
        allowed_return_urls: settings.allowed_return_urls.clone(),
        allowed_origins: settings.allowed_origins.clone(),
        completion: match settings.completion {
            Completion::Automatic => PbCompletion::Automatic,
            Completion::Confirm => PbCompletion::Confirm,
        }
        .into(),
        browser_binding: settings.browser_binding,
    }
}
