//! The table `webhook_deliveries`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_deliveries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub project_id: String,
    pub event_id: Uuid,
    pub event_type: String,
    pub event_time: i64,
    pub sequence: Option<i64>,
    pub integration_id: Option<String>,
    pub connection_id: Option<String>,
    pub provider_id: Option<String>,
    pub reason: Option<String>,
    pub status: String,
    pub attempts: i64,
    pub attempt_time: Option<i64>,
    pub response_status: Option<i64>,
    pub problem: Option<String>,
    pub next_time: Option<i64>,
    pub begin_time: i64,
    pub end_time: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
