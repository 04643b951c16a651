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
    let stop = stop().map_err(|error| AppError::Serve(error.into()))?;
    tracing::info!(
        grpc = %addresses.grpc,
        gateway = %addresses.gateway,
        admin = %addresses.admin,
        public_url = app.public_url(),
        "serving",
    );
    app.run(stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves when the process is asked to stop. From the call on, the signals do not end the process by themselves.
pub(super) fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: waiting for what is under way");
    })
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
