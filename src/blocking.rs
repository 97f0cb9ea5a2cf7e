//! Work that takes long, on threads that serve nobody.

use std::panic::resume_unwind;

use tokio::task::{JoinError, spawn_blocking};

/// What the work returns; where it panics, so does this.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    returned(spawn_blocking(work).await).await
}

/// What a task returned; where it panicked, so does this.
pub(crate) async fn returned<T>(joined: Result<T, JoinError>) -> T {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(returned) => returned,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime is ending, and whoever waits ends with it.
        Err(Err(_)) => std::future::pending().await,
    }
}
