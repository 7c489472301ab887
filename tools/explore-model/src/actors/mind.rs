//! What an LWP of an ordinary process does next.

use asphodel_core::id::Pid;
use asphodel_core::signal::Signal;
use asphodel_core::thread::park::Sleep;

use super::{HOOKS, Role, some_cpus};
use crate::event::What;
use crate::glue::exit::{self, Who};
use crate::glue::handle::Handle;
use crate::glue::reaper::{self, Scope};
use crate::glue::service::service;
use crate::glue::spawn::{self, Attributes, Group};
use crate::glue::table::{self, For};
use crate::glue::wait::wait4;
use crate::glue::wait_queue::{self, WaitOptions};
use crate::glue::{exec, kill, lwp, switch};
use crate::world::World;
use crate::world::queue::{QueueId, Waiting};

/// What an LWP remembers. It is not given back if the LWP is killed.
#[derive(Debug, Default)]
struct Mind {
    handles: Vec<Handle>,
    pinned: Vec<Handle>,
    children: Vec<Pid>,
}

/// Lives for a while.
pub(crate) async fn live(w: &World) {
    let mut mind = Mind::default();
    for _ in 0..1 + w.below(12) {
        if w.calm.get() {
            break;
        }
        for _ in 0..w.below(4) {
            // Program code: an LWP with a kill pending dies here.
            w.at(What::Work, 0).await;
        }
        mind.act(w).await;
    }
    mind.tidy(w).await;
}

impl Mind {
    async fn act(&mut self, w: &World) {
        match w.below(106) {
            0..16 => self.spawn(w).await,
            16..30 => self.wait(w).await,
            30..42 => self.make_lwp(w).await,
            42..58 => self.use_handle(w).await,
            58..64 => self.kill(w).await,
            64..67 => {
                let _nobody = kill::kill_lwp(w, 1 + w.below(6)).await;
            }
            67..76 => sleep(w).await,
            76..84 => count(w).await,
            84..87 => service(w, switch::yield_now(w)).await,
            87..89 => set_auto_reap(w).await,
            89..91 => scan(w).await,
            91..93 => hooks(w).await,
            93 => move_away(w).await,
            94 => drop(kill::sigwait(w, Signal::CHLD.bit() | Signal::URG.bit(), 1 + w.below(80)).await),
            95 => drop(exec::exec(w, Role::Program).await),
            96..99 => reap(w).await,
            99..101 => set_death_signal(w).await,
            101 => kill::kill_group(w, w.my_process().family.group(), Signal::TERM).await,
            _ => end(w).await,
        }
    }

    async fn spawn(&mut self, w: &World) {
        let group = match w.below(4) {
            0 => Group::New,
            1 => Group::Join(someone(w)),
            _ => Group::Inherit,
        };
        let exit_signal = if w.one_in(5) { Signal::USR1 } else { Signal::CHLD };
        let (no_wait, peer, vfork) = (w.one_in(6), w.one_in(6), w.one_in(8));
        let attributes = Attributes { group, no_wait, peer, vfork, exit_signal, role: Role::Program };
        if let Ok(pid) = spawn::spawn(w, attributes).await {
            self.children.push(pid);
        }
    }

    async fn wait(&mut self, w: &World) {
        let child = w.below(self.children.len() as u32 + 1) as usize;
        let selector = match w.below(10) {
            0 => 0,
            1 => -someone(w).raw(),
            2 => someone(w).raw(),
            3 => i32::MIN,
            4 | 5 => self.children.get(child).map_or(-1, |pid| pid.raw()),
            _ => -1,
        };
        let no_hang = u32::from(w.one_in(3));
        let clone_class = if w.one_in(5) { 0x8000_0000 } else { 0 };
        if let Ok(Some(pid)) = wait4(w, selector, no_hang | clone_class).await {
            self.children.retain(|child| *child != pid);
        }
    }

    async fn make_lwp(&mut self, w: &World) {
        if let Ok(handle) = lwp::spawn_lwp(w, Role::Worker).await {
            self.handles.push(handle);
        }
    }

    async fn use_handle(&mut self, w: &World) {
        if self.handles.is_empty() {
            return self.make_lwp(w).await;
        }
        let at = w.below(self.handles.len() as u32) as usize;
        match w.below(5) {
            0 => self.handles.swap_remove(at).give_back(w).await,
            1 => drop(kill::kill_lwp(w, self.handles[at].tid()).await),
            2 => {
                let handle = self.handles.swap_remove(at);
                if handle.pin(w).await {
                    self.pinned.push(handle);
                } else {
                    handle.give_back(w).await;
                }
            }
            _ => {
                let _killed = self.handles.swap_remove(at).join(w).await;
            }
        }
    }

    async fn kill(&mut self, w: &World) {
        let pid = match self.children.last() {
            Some(pid) if w.one_in(2) => *pid,
            _ => someone(w),
        };
        let signal = match w.below(6) {
            0 => None,
            1 => Some(Signal::URG),
            2 => Some(Signal::STOP),
            3 => Some(Signal::TERM),
            _ => Some(Signal::KILL),
        };
        let _nobody = kill::kill(w, pid, signal).await;
    }

    /// Gives back what it has, or most of it.
    async fn tidy(&mut self, w: &World) {
        for handle in self.pinned.drain(..) {
            handle.unpin_stack(w).await;
            handle.give_back(w).await;
        }
        for handle in self.handles.drain(..) {
            if !w.one_in(4) {
                handle.give_back(w).await;
            }
        }
    }
}

/// The pid of somebody, dead or alive.
fn someone(w: &World) -> Pid {
    w.peek_process(1 + w.below(w.processes.len() - 1)).pid()
}

async fn sleep(w: &World) {
    let (kind, longest) = if w.one_in(4) { (Sleep::Uninterruptible, 60) } else { (Sleep::Killable, 400) };
    service(w, wait_queue::sleep(w, kind, 1 + w.below(longest))).await;
}

/// Takes one from a semaphore, or gives one.
async fn count(w: &World) {
    let number = w.below(w.semaphores.len() as u32);
    let semaphore = &w.semaphores[number as usize];
    let id = QueueId::Semaphore(number);
    let gives = w.one_in(2);
    service(w, async {
        if gives {
            w.at(What::Signal, number).await;
            semaphore.count.set(semaphore.count.get() + 1);
            semaphore.queue.due.set(semaphore.queue.due.get() + 1);
            wait_queue::wake_one(w, id).await;
            semaphore.queue.due.set(semaphore.queue.due.get() - 1);
            switch::check_preemption(w).await;
            return;
        }
        let take = || {
            let count = semaphore.count.get();
            semaphore.count.set(count.saturating_sub(1));
            count > 0
        };
        let options = WaitOptions::for_steps(w, 1 + w.below(500));
        let _woken = wait_queue::wait(w, id, Waiting::Count, options, take).await;
    })
    .await;
}

async fn set_auto_reap(w: &World) {
    let on = w.one_in(2);
    service(w, async {
        w.at(What::SetAutoReap, u32::from(on)).await;
        w.my_process().auto_reap.set(on);
    })
    .await;
}

/// Looks at all processes, as `ps` does: a reference to each in turn, and its LWP list under the lock.
async fn scan(w: &World) {
    service(w, async {
        for slot in 1..w.processes.len() {
            let Some(process) = table::find_slot(w, slot).await else { continue };
            if process.born.get() {
                let masked = process.lwps.lock(w, process).await;
                let lwps = process.lwps.lwps();
                let asleep =
                    lwps.iter(&w.threads).filter(|&lwp| w.thread(lwp).park.sleeping().is_some()).count();
                drop(lwps);
                w.note(What::Find, asleep as u32);
                process.lwps.unlock(w, masked);
            }
            table::put(w, process, For::Look).await;
        }
    })
    .await;
}

/// Registers a hook, or removes one.
async fn hooks(w: &World) {
    let hook = w.below(HOOKS);
    service(w, async {
        w.at(What::Hook, hook).await;
        let mut hooks = w.hooks.borrow_mut();
        if hooks.remove(&hook) == 0 {
            hooks.add(0, hook).expect("there is room for each once");
        }
    })
    .await;
}

/// Becomes a reaper, or ceases to be one, or kills what it is responsible for.
async fn reap(w: &World) {
    match w.below(6) {
        0 => reaper::set_role(w, false).await,
        1 => {
            let scope = if w.one_in(2) { Scope::All } else { Scope::Subtree(someone(w)) };
            let _none = reaper::kill_members(w, scope, Signal::KILL).await;
        }
        _ => reaper::set_role(w, true).await,
    }
}

async fn set_death_signal(w: &World) {
    let signal = if w.one_in(3) { Signal::URG } else { Signal::TERM };
    service(w, async {
        w.at(What::DeathSignal, 0).await;
        w.my_process().death_signal.set(u32::from(signal.number()));
    })
    .await;
}

async fn move_away(w: &World) {
    let allowed = some_cpus(w);
    service(w, async {
        w.me().affinity.set(allowed);
        switch::yield_now(w).await;
    })
    .await;
}

async fn end(w: &World) {
    let word = w.below(w.words.len() as u32 + 1);
    let status = w.below(300) as i32;
    match w.below(4) {
        0 => exit::exit(w, status).await,
        1 => drop(exit::extexit(w, Who::Process, status, word).await),
        _ => drop(exit::extexit(w, Who::Lwp, status, word).await),
    }
}

/// Takes all signals that are pending, so that the record is as at the beginning.
pub(crate) async fn forget_signals(w: &World) {
    w.at(What::Work, 1).await;
    w.my_process().pending.set(0);
}
