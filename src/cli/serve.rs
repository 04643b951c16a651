//! `tokenwell serve`.

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app::{App, AppError, Environment},
    config::ServeArgs,
    flow::FirstKey,
    model::ExposeSecret as _,
};

/// Serves until SIGTERM or Ctrl-C.
pub(super) async fn run(args: &ServeArgs) -> Result<(), AppError> {
    let mut app = App::start(args, Environment::default()).await?;
    if let Some(first) = app.take_first_key() {
        show(&first);
    }
    let addresses = app.addresses()?;
    tracing::info!(
        grpc = %addresses.grpc,
        gateway = %addresses.gateway,
        admin = %addresses.admin,
        public_url = app.public_url(),
        "serving",
    );
    app.run(stop()).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves when the process is asked to stop.
pub(super) async fn stop() {
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(interrupt.await),
    }
    tracing::info!("stopping: waiting for what is under way");
}

/// The one time that the key is shown. It goes to standard output, where logs do not go.
fn show(first: &FirstKey) {
    let bold = anstyle::Style::new().bold();
    anstream::println!(
        "Made the project `{}` and its first API key. Keep it: it is not shown again.\n\n  {bold}{}{bold:#}\n",
        first.project_id,
        first.secret.expose_secret()
    );
}
