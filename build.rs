//! Compiles the protos without `protoc`: protox makes the descriptors, tonic-prost-build the Rust.

use std::{env, error::Error, fs, path::PathBuf};

const PROTOS: [&str; 7] = [
    "tokenwell/auth/v1/auth.proto",
    "tokenwell/connection/v1/connection.proto",
    "tokenwell/error/v1/error.proto",
    "tokenwell/integration/v1/integration.proto",
    "tokenwell/project/v1/project.proto",
    "tokenwell/provider/v1/provider.proto",
    "tokenwell/webhook/v1/webhook.proto",
];

/// Messages that hold a secret: they get no derived `Debug`, and `api::pb` gives them a redacted one.
const SECRET: [&str; 10] = [
    "tokenwell.auth.v1.BeginRequest",
    "tokenwell.auth.v1.Callback",
    "tokenwell.auth.v1.Confirmation",
    "tokenwell.connection.v1.OAuth2Credentials",
    "tokenwell.integration.v1.Integration",
    "tokenwell.project.v1.CreateApiKeyResponse",
    "tokenwell.project.v1.CreateResponse",
    "tokenwell.project.v1.HmacSettings",
    "tokenwell.webhook.v1.CreateResponse",
    "tokenwell.webhook.v1.RotateSecretResponse",
];

/// Messages that lead a browser or a program into a flow: as secret as the flow is young.
const SECRET_LINKS: [&str; 2] = ["tokenwell.auth.v1.BeginResponse", "tokenwell.auth.v1.CompleteResponse"];

#[expect(clippy::disallowed_methods, reason = "variables are how cargo talks to a build script")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=catalog");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(PROTOS)?;

    // protox's own encoding keeps custom options and comments, which reflection shows.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .build_transport(false)
        .skip_debug(SECRET.into_iter().chain(SECRET_LINKS))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
