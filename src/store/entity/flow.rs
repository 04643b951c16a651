//! The table `flows`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "flows")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub project_id: String,
    pub integration_row_id: Uuid,
    pub integration_id: String,
    pub provider_id: String,
    pub connection_id: String,
    pub grant_type: String,
    pub status: String,
    pub signature_digest: Option<String>,
    pub state_digest: String,
    pub connect_digest: String,
    pub confirmation_digest: Option<String>,
    pub browser_digest: Option<String>,
    pub browser_binding: bool,
    pub completion: String,
    pub may_replace: bool,
    pub redirect_uri: String,
    pub code_verifier: Option<Vec<u8>>,
    pub config: String,
    pub secrets: Option<Vec<u8>>,
    pub scopes: String,
    pub metadata: Option<String>,
    pub return_url: Option<String>,
    pub authorization_url: Vec<u8>,
    pub parked_query: Option<Vec<u8>>,
    pub outcome: Option<String>,
    pub outcome_reason: Option<String>,
    pub outcome_time: Option<i64>,
    pub taken_time: Option<i64>,
    pub create_time: i64,
    pub expire_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
