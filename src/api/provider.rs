//! `tokenwell.provider.v1.ProviderService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    convert::{page_token, pb_grant_type},
    pb::provider::v1::{
        ConfigChoice, ConfigField, ConfigFormat, GetRequest, GetResponse, ListRequest, ListResponse,
        Provider as PbProvider, TokenEndpointAuthMethod, provider_service_server::ProviderService,
    },
    respond,
};
use crate::{
    flow::Flows,
    model::{Caller, PageRequest, ProviderId, Result},
    provider::{AuthMethod, Field, Format, Provider},
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

    fn do_get(&self, request: &GetRequest) -> Result<GetResponse> {
        let catalog = self.flows.catalog();
        let provider = catalog.get(&ProviderId::parse(&request.provider_id)?)?;
        Ok(GetResponse { provider: Some(pb_provider(provider)) })
    }

    fn do_list(&self, request: &ListRequest) -> Result<ListResponse> {
        let page = PageRequest::parse(request.page_size, &request.page_token, "providers")?;
        let after = page.after.as_deref().unwrap_or_default();
        let catalog = self.flows.catalog();
        let rest = catalog.iter().filter(|provider| provider.id().as_str() > after);
        let rows = rest.take(usize::from(page.size) + 1).collect();
        let page = page.page(rows, |provider| provider.id().to_string());
        Ok(ListResponse {
            next_page_token: page_token(&page),
            providers: page.items.into_iter().map(|provider| pb_provider(provider)).collect(),
        })
    }
}

#[async_trait]
impl ProviderService for Service {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        respond(request, async |_: Caller, request| self.do_get(&request)).await
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        respond(request, async |_: Caller, request| self.do_list(&request)).await
    }
}

fn pb_provider(provider: &Provider) -> PbProvider {
    let [authorization_endpoint, token_endpoint, revocation_endpoint] = provider.endpoint_templates();
    let params = provider.authorization_param_templates();
    PbProvider {
        provider_id: provider.id().to_string(),
        display_name: provider.display_name().to_owned(),
        categories: provider.categories().to_vec(),
        documentation_url: provider.documentation().to_owned(),
        authorization_endpoint: authorization_endpoint.to_owned(),
        token_endpoint: token_endpoint.to_owned(),
        revocation_endpoint: revocation_endpoint.to_owned(),
        config_fields: provider.fields().iter().map(pb_field).collect(),
        default_scopes: provider.default_scopes().to_vec(),
        authorization_params: params.map(|(name, value)| (name.to_owned(), value)).collect(),
        pkce: provider.pkce(),
        grant_types: provider.grant_types().iter().map(|it| pb_grant_type(*it).into()).collect(),
        token_endpoint_auth_method: pb_auth_method(provider.auth_method()).into(),
        client_certificate_required: provider.presents_certificate(),
        user_scopes: provider.user_scope_param().is_some(),
    }
}

fn pb_field(field: &Field) -> ConfigField {
    let choices = field.choices().iter();
    let (prefix, suffix) = field.affixes();
    ConfigField {
        name: field.name().to_owned(),
        title: field.title().to_owned(),
        description: field.description().to_owned(),
        example: field.example().to_owned(),
        pattern: field.pattern().to_owned(),
        choices: choices
            .map(|choice| ConfigChoice { value: choice.value.clone(), title: choice.title.clone() })
            .collect(),
        default_value: field.default_value().unwrap_or_default().to_owned(),
        required: field.required(),
        captured: field.captured(),
        settable: field.settable(),
        secret: field.secret(),
        account: field.account(),
        format: pb_format(field.format()).into(),
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
    }
}

fn pb_auth_method(method: AuthMethod) -> TokenEndpointAuthMethod {
    match method {
        AuthMethod::ClientSecretPost => TokenEndpointAuthMethod::ClientSecretPost,
        AuthMethod::ClientSecretBasic => TokenEndpointAuthMethod::ClientSecretBasic,
        AuthMethod::None => TokenEndpointAuthMethod::None,
        AuthMethod::PrivateKeyJwt => TokenEndpointAuthMethod::PrivateKeyJwt,
        AuthMethod::TlsClientAuth => TokenEndpointAuthMethod::TlsClientAuth,
    }
}

fn pb_format(format: Format) -> ConfigFormat {
    match format {
        Format::Text => ConfigFormat::Unspecified,
        Format::Label => ConfigFormat::Label,
        Format::Hostname => ConfigFormat::Hostname,
        Format::Uuid => ConfigFormat::Uuid,
        Format::Uri => ConfigFormat::Uri,
        Format::Email => ConfigFormat::Email,
    }
}
