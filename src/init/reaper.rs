//! The main loop of process 1: it reaps its children, and every orphan.

use asphodel::api::{Pid, Status, wait4};

/// Reaps children and orphans until `child` ends; returns its status.
pub(crate) fn reap_until(child: Pid) -> Status {
    loop {
        match wait4(-1, 0) {
            Ok(Some(report)) if report.pid == child => return report.status,
            Ok(_) => {}
            // `child` stays a child until it has been reaped, so there is always one to wait for.
            Err(error) => unreachable!("process 1 cannot wait: {error}"),
        }
    }
}
