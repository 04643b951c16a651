//! The table `integrations`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "integrations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub project_id: String,
    pub integration_id: String,
    pub provider_id: String,
    pub client_id: String,
    pub client_secret: Option<Vec<u8>>,
    pub further_client_secrets: Option<Vec<u8>>,
    pub private_key: Option<Vec<u8>>,
    pub private_key_id: Option<String>,
    pub certificate: Option<String>,
    pub allow_private_addresses: bool,
    pub scopes: String,
    pub user_scopes: String,
    pub failure_code: Option<String>,
    pub failure_time: Option<i64>,
    pub pause_until: Option<i64>,
    pub pauses: i64,
    pub probing: bool,
    pub pause_of_client: bool,
    pub create_time: i64,
    pub update_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
