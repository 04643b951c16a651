//! The table `connections`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connections")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub project_id: String,
    pub integration_row_id: Uuid,
    pub integration_id: String,
    pub provider_id: String,
    pub connection_id: String,
    pub grant_type: String,
    pub state: String,
    pub config: String,
    pub config_version: i64,
    pub metadata: String,
    pub metadata_version: i64,
    pub granted_scopes: String,
    pub requested_scopes: String,
    pub access_token: Vec<u8>,
    pub token_type: String,
    pub token_expire_time: Option<i64>,
    pub refresh_token: Option<Vec<u8>>,
    pub refresh_token_expire_time: Option<i64>,
    pub secrets: Option<Vec<u8>>,
    pub epoch: i64,
    pub lease_until: Option<i64>,
    pub generation: i64,
    pub reason: Option<String>,
    pub failures: i64,
    pub failure_time: Option<i64>,
    pub failure_code: Option<String>,
    pub failure_error: Option<String>,
    pub unknown_failures: i64,
    pub unknown_time: Option<i64>,
    pub attention_time: Option<i64>,
    pub retry_time: Option<i64>,
    pub due_time: Option<i64>,
    pub notice_end: Option<i64>,
    pub notice_time: Option<i64>,
    pub grant_time: i64,
    pub create_time: i64,
    pub update_time: i64,
    pub refresh_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
