//! The package sources that the bundle carries: `/apt` and `/calico.yaml`, over plain HTTP.

use std::path::Path;

use axum::Router;
use tower_http::services::{ServeDir, ServeFile};

/// Serves the sources of the bundle at `bundle`.
pub fn router(bundle: &Path) -> Router {
    Router::new()
        .nest_service("/apt", ServeDir::new(bundle.join("apt")))
        .route_service("/calico.yaml", ServeFile::new(bundle.join("calico.yaml")))
}
