//! Projects and API keys of a test.

use tokenwell::api::pb::project::v1::{ApiKey, ApiKeyKind, CreateApiKeyRequest, CreateRequest, Permission};

use super::TestServer;

impl TestServer {
    /// Makes a secret key of the project `default` that permits this much. Gives it and its secret.
    pub async fn create_key(&self, permissions: &[Permission]) -> (ApiKey, String) {
        self.create_key_of(&self.key, ApiKeyKind::Secret, permissions).await
    }

    /// Makes a key in the project that `by` selects. Gives it and its secret.
    pub async fn create_key_of(
        &self,
        by: &str,
        kind: ApiKeyKind,
        permissions: &[Permission],
    ) -> (ApiKey, String) {
        let request = CreateApiKeyRequest {
            display_name: "a key of the test".to_owned(),
            kind: kind.into(),
            permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
            expire_time: None,
        };
        let made = self.project(by).create_api_key(request).await.unwrap().into_inner();
        (made.api_key.unwrap(), made.secret)
    }

    /// Makes a project. Gives the secret of its first key.
    pub async fn create_project(&self, project_id: &str) -> String {
        let request = CreateRequest { project_id: project_id.to_owned(), display_name: String::new() };
        self.project(&self.key).create(request).await.unwrap().into_inner().secret
    }
}
