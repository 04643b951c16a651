//! The tests from outside: through gRPC, HTTP, the command line and the database, a file per service.

#![expect(missing_docs, reason = "tests speak by their names")]

mod support;

mod house;
