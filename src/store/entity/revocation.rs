//! The table `revocations`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub project_id: String,
    pub integration_row_id: Uuid,
    pub integration_id: String,
    pub provider_id: String,
    pub connection_id: String,
    pub payload: Vec<u8>,
    pub attempts: i64,
    pub next_time: i64,
    pub create_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
