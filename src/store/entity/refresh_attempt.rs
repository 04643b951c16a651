//! The table `refresh_attempts`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_attempts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub project_id: String,
    pub connection_row_id: Uuid,
    pub generation: i64,
    pub epoch: i64,
    pub replica: String,
    pub start_time: i64,
    pub end_time: Option<i64>,
    pub outcome: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
