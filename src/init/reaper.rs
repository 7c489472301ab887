//! What process 1 does all its life: it reaps its children, and every orphan there will ever be.

use asphodel::api::{Pid, Status, wait4};

/// Reaps children and orphans until `child` ends; gives its status.
pub(crate) fn reap_until(child: Pid) -> Status {
    loop {
        match wait4(-1, 0) {
            Ok(Some(report)) if report.pid == child => return report.status,
            Ok(_) => {}
            // The child is one until it has been reaped: there is always one to wait for.
            Err(error) => unreachable!("process 1 cannot wait: {error}"),
        }
    }
}
