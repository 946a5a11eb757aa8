//! What a patch does to a document, one file a family of claims, each test one claim.

mod check;
mod errors;
mod histories;
mod limits;
mod naive;
mod random;
mod rfc;
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../harness/setting.rs"]
mod setting;
