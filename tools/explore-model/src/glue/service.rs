//! Being inside a kernel service, and the kill point at its edge.

use std::future::Future;

use super::exit;
use crate::event::What;
use crate::world::World;
use crate::world::thread::Thread;

/// Runs `body` as a service of the kernel.
pub(crate) async fn service<T>(w: &World, body: impl Future<Output = T>) -> T {
    let depth = &w.me().service_depth;
    depth.set(depth.get() + 1);
    w.note(What::EnterService, depth.get());
    let result = body.await;
    leave(w).await;
    result
}

async fn leave(w: &World) {
    let thread = w.me();
    let depth = thread.service_depth.get() - 1;
    thread.service_depth.set(depth);
    if depth == 0 {
        // An interrupt here kills an LWP with a kill pending, too.
        w.at(What::Edge, 0).await;
        if is_kill_pending(thread) {
            exit::execute(w).await;
        }
    }
}

/// Whether `thread` has been told to die.
pub(crate) fn is_kill_pending(thread: &Thread) -> bool {
    thread.kill_pending.get()
}

/// Whether an interrupt that returns to `thread` ends it: kill point (c).
pub(crate) fn dies_on_return(thread: &Thread) -> bool {
    is_kill_pending(thread) && thread.service_depth.get() == 0 && thread.is_lwp()
}
