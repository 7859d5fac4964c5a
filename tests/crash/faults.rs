//! What fails beside it.
