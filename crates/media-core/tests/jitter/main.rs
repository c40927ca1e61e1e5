//! The receive path in virtual time, with a codec whose sound tells its media time.

#![expect(clippy::disallowed_methods, reason = "tests may allocate")]

mod properties;
mod support;
mod traces;
