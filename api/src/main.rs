//! The `volley` binary.

use std::process::ExitCode;

/// Messages are many small allocations on several threads; the system's allocator takes
/// an eighth of a node's processor time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    api::command::run()
}
