//! The table `webhooks`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub project_id: String,
    pub url: String,
    pub event_types: String,
    pub display_name: String,
    pub disabled: bool,
    pub disable_reason: Option<String>,
    pub disable_time: Option<i64>,
    pub failure_time: Option<i64>,
    pub pause_until: Option<i64>,
    pub secret: Vec<u8>,
    pub previous_secret: Option<Vec<u8>>,
    pub previous_secret_expire_time: Option<i64>,
    pub create_time: i64,
    pub update_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
