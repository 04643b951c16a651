//! The store, through its own interface, on SQLite and on PostgreSQL: the same suite runs on both.

mod attention;
mod claim;
mod connection;
mod due;
mod ending;
mod event;
mod feed;
mod fixture;
mod flow;
mod integration;
mod lease;
mod project;
mod race;
mod schema;
mod seal;
mod tenant;
mod webhook;

/// Makes a test per database of each function that takes the kind of database.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($crate::support::database::Kind::Sqlite).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($crate::support::database::Kind::Postgres).await;
                }
            )+
        }
    };
}
use on_both_databases;
