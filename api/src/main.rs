//! The `volley` binary.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Texts are many small allocations that one thread makes and another frees; the system's
/// allocator took a sixth of a node's processor time for them.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    api::command::run()
}
