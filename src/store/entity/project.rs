//! The table `projects`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "projects")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub display_name: String,
    pub settings: String,
    pub settings_version: i64,
    pub hmac_key_1: Option<Vec<u8>>,
    pub hmac_key_2: Option<Vec<u8>>,
    pub create_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
