//! The table `events`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub id: Uuid,
    pub position: Option<i64>,
    pub project_id: String,
    pub r#type: String,
    pub integration_id: String,
    pub connection_id: String,
    pub connection_row_id: Uuid,
    pub provider_id: String,
    pub reason: Option<String>,
    pub time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
