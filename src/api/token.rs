//! What the token that was shown is for: a page asks before it shows buttons that would be refused.

use axum::{Extension, response::Response};

use super::{
    auth::Role,
    reply,
    wire::{RoleWord, TokenPage},
};

/// `GET /api/v1/token`.
#[utoipa::path(
    get, path = "/api/v1/token", operation_id = "token", tag = "now",
    responses((status = 200, description = "What the token is for", body = TokenPage))
)]
pub async fn show(Extension(role): Extension<Role>) -> Response {
    let role = match role {
        Role::Control => RoleWord::Control,
        // One for signals does not come here: it may GET nothing.
        Role::Read | Role::Signal => RoleWord::Read,
    };
    reply::json(&TokenPage { role })
}
