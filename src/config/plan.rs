//! plan
use super::Config;
/// plan
pub fn describe(config: &Config) -> String {
    format!("{config:?}")
}
