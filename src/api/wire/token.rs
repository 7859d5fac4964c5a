//! What the token that was shown is for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenPage {
    /// What it opens.
    pub role: RoleWord,
}

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleWord {
    /// Everything.
    Control,
    /// To look.
    Read,
}
