"""The tables of rename.py. Paths are those after the moves."""

WIDTH = 120
SKIP = r"^tools/rename/|(^|/)(LICENSE|Cargo\.lock)$|\.proptest-regressions$|\.(png|bin|dtb|gz)$"
SKIP_LEFT = SKIP

P, C, CT = "src/kernel/src/proc/", "src/core/src/", "src/core/tests/"
X = "tools/xtask/src/"
MOVES = [
    (C + "proc/crew.rs", C + "proc/lwp_list.rs"),
    (C + "proc/cull.rs", C + "proc/subtree_kill.rs"),
    (C + "proc/loan.rs", C + "proc/vfork.rs"),
    (C + "proc/tenure.rs", C + "proc/slot_refs.rs"),
    (C + "thread/doom.rs", C + "thread/kill_flag.rs"),
    (C + "thread/remains.rs", C + "thread/refs.rs"),
    (CT + "loom_corpse.rs", CT + "loom_dead_lwp.rs"),
    (CT + "loom_cull.rs", CT + "loom_subtree_kill.rs"),
    (CT + "loom_doom.rs", CT + "loom_kill_flag.rs"),
    (CT + "loom_kept.rs", CT + "loom_kept_stacks.rs"),
    (CT + "loom_loan.rs", CT + "loom_vfork.rs"),
    (P + "undertaker.rs", P + "dead_thread.rs"),
    (P + "figures.rs", P + "stats.rs"),
    (P + "lwps.rs", P + "lwp_info.rs"),
    (P + "report.rs", P + "process_info.rs"),
    ("src/kernel/src/sched/parking.rs", "src/kernel/src/sched/active.rs"),
    ("src/kernel/src/time/wall.rs", "src/kernel/src/time/realtime.rs"),
    ("tests/images/cpu_park.rs", "tests/images/cpu_deactivate.rs"),
    ("tools/explore/src/glue/undertaker.rs", "tools/explore/src/glue/dead_thread.rs"),
    (X + "elsewhere.rs", X + "check_templates.rs"),
    (X + "typing.rs", X + "stdin_relay.rs"),
    (X + "tree.rs", X + "source_tree.rs"),
    (X + "guest.rs", X + "qemu_run.rs"),
]

# Whole names that mean one thing wherever they stand.
IDENTS = [
    # 1 undertaker, 2 executioner
    {
        "undertaker": "dead_thread", "set_undertaker": "set_dead_thread_hook", "UNDERTAKER": "DEAD_THREAD_HOOK",
        "Undertaker": "DeadThreadHook", "bury_and_go_on": "finish_dead_and_switch", "bury_master": "finish_exit_owner",
        "bury_sibling": "finish_sibling", "bury_kernel_thread": "finish_kernel_thread", "bury_orphans": "reap_orphans",
        "bury_corpse": "reap_exited_user", "bury_with": "free_zombie_with", "Burial": "DeadThread",
        "conclude": "finish_off_cpu", "wake_master": "wake_exit_owner",
        "set_executioner": "set_kill_handler", "EXECUTIONER": "KILL_HANDLER", "executioner": "handler",
    },
    # 3 doom
    {
        "Doom": "KillFlag", "doom_all": "kill_other_lwps", "doom_self": "set_own_kill_flag",
        "doom_next": "mark_next_killed", "is_doomed": "is_kill_pending", "wake_doomed": "wake_killed",
        "doom_seen": "kill_seen", "doom_without_fences": "kill_without_fences", "DoomAfterClaim": "KillAfterClaim",
        "WokenThenDoomed": "WokenThenKilled", "TestDoom": "TestKill", "end_if_doomed": "end_if_killed",
        "doom_meets_switch": "kill_meets_switch", "doom_meets_migration": "kill_meets_migration",
        "r46_doom_meets_switch": "r46_kill_meets_switch", "r46_doom_meets_migration": "r46_kill_meets_migration",
        "r46_seeded_looked_for_before_it_is_doomed": "r46_seeded_looked_for_before_it_is_killed",
        "r08_seeded_woken_before_doomed": "r08_seeded_woken_before_killed",
        "r08_seeded_doom_tested_before_the_announcement": "r08_seeded_kill_tested_before_the_announcement",
        "r51_seeded_doom_honoured_after_the_claim": "r51_seeded_kill_honoured_after_the_claim",
        "a_doom_under_disabled_preemption_is_honoured": "a_kill_under_disabled_preemption_is_honoured",
        "the_doomed_are_found_asleep_or_running": "the_killed_are_found_asleep_or_running",
        "loom_doom": "loom_kill_flag",
    },
    # 4 master
    {
        "Master": "ExitOwner", "is_master": "is_exit_owner", "mastered": "owned",
        "MasterLooksThenEnlists": "ExitOwnerLooksThenQueues", "last_to_leave_is_master": "last_to_leave_owns_the_exit",
        "first_exit_is_master": "first_exit_owns_the_exit",
    },
    # 5 crew
    {
        "Crew": "LwpList", "CrewNodes": "LwpNodes", "crews": "lwp_lists", "quit_crew": "remove_from_list",
        "QuitCrew": "RemoveLwp", "LockCrew": "LockLwpList", "CrewLock": "LwpListLock", "AdmitLwp": "InsertLwp",
        "with_crew": "with_lwps", "has_no_left": "has_no_exited", "take_left": "take_exited",
    },
    # 6, 7 brood and kin
    {
        "Brood": "Children", "AddToBrood": "AddChild", "adopter_brood": "adopter_children", "broods": "children_of",
        "_brood": "_children", "Kin": "FamilyLinks", "Kinship": "FamilyTable", "kinship": "table",
    },
    # 8, 9, 10 tenure, remains, hold
    {
        "Tenure": "SlotRefs", "tenure": "refs", "TENURE": "SLOT_REFS", "Remains": "RecordRefs", "remains": "refs",
        "REMAINS": "REFS", "loom_corpse": "loom_dead_lwp", "loom_kept": "loom_kept_stacks",
        "try_hold": "try_get", "hold_slot": "find_slot", "occupy_held": "occupy_shared",
        "holds_expected": "refs_expected", "WakerWithoutHold": "WakerWithoutRef",
        "HandleWithoutHold": "HandleWithoutRef", "ProcessHoldFirst": "ProcessRefFirst",
        "release_masked": "put_thread_masked", "release_held": "put_shared_thread", "ReleaseLwp": "PutThread",
        "a_generation_lasts_as_long_as_a_hold": "a_generation_lasts_as_long_as_a_reference",
        "a_hold_keeps_the_record": "a_reference_keeps_the_record",
        "a_hold_is_given_back_once": "a_reference_is_put_once",
        "t082_t083_the_record_goes_with_the_last_hold": "t082_t083_the_record_goes_with_the_last_reference",
        "r23_seeded_waits_for_the_spawners_hold": "r23_seeded_waits_for_the_spawners_reference",
        "r10_hold_meets_unlink": "r10_reference_meets_unlink", "hold_meets_unlink": "reference_meets_unlink",
        "r37_message_carries_a_hold": "r37_message_carries_a_reference",
        "r04_seeded_waker_without_hold": "r04_seeded_waker_without_reference",
        "r39_seeded_compared_before_the_hold": "r39_seeded_compared_before_the_reference",
    },
    # 11 loan
    {
        "Loan": "VforkWait", "is_lent": "in_progress", "lender": "vfork_queue", "Lender": "Vfork",
        "LenderNotWoken": "VforkParentNotWoken", "give_back_loan": "vfork_done", "loom_loan": "loom_vfork",
        "what_was_lent_is_given_back_once": "a_vfork_is_done_once", "GiveBack": "VforkDone",
    },
    # 12 cull
    {
        "Culls": "SubtreeKills", "Cull": "SubtreeKill", "CULLS": "SUBTREE_KILLS", "MAX_CULLS": "MAX_SUBTREE_KILLS",
        "culls": "subtree_kills", "culled": "subtree_signal", "cull_child": "kill_child",
        "active_culls": "active_subtree_kills", "is_any_after_birth": "is_any_after_spawn",
        "share_fate": "inherit_pending_kill", "ShareFate": "InheritPendingKill", "loom_cull": "loom_subtree_kill",
    },
    # 13 hear
    {
        "hear_group": "recheck_group_signal", "group_heard": "group_signal_seen", "HearGroup": "RecheckGroupSignal",
        "announce_to_newcomers": "publish_group_signal", "GroupNotHeard": "GroupSignalNotRechecked",
        "group_word": "group_signal_word", "unheard": "silent_turns",
    },
    # 14 steps of the exit
    {
        "wind_up": "release_resources", "vanish": "leave_cpu", "strip_program_registers": "drop_used_registers",
        "WeighIn": "WeighIn",
    },
    # 15, 17 the gate
    {
        "AsMaster": "Process", "Departure": "ThreadExit", "departure": "thread_exit", "_departure": "_thread_exit",
        "ordinary_departures_have_no_effect": "ordinary_thread_exits_have_no_effect",
        "become_single": "single_thread", "BecomeSingle": "SingleThread", "finish_single": "end_single_threading",
        "FinishSingle": "EndSingleThreading",
    },
    # 18, 19, 20, 21 waiting
    {
        "Manner": "WaitOptions", "MANNER": "WAIT_OPTIONS", "is_manner": "is_wait_options", "manners": "wait_options",
        "Custody": "KillShield", "_custody": "_shield", "custody": "shield", "CUSTODY": "SHIELD",
        "is_first_custody": "is_outermost_shield", "_service": "_section",
        "sleep_enlisted": "sleep_queued", "withdraw_for_good": "remove_waiter_final",
        "prepare_unless": "enqueue_unless",
    },
    # 22, 23, 24 the scheduler
    {
        "take_mail": "drain_mailbox", "TakeMail": "DrainMailbox", "give_way": "maybe_preempt",
        "give_way_again": "preempt_again", "place_by_choice": "enqueue_by_choice", "heed": "check_active",
        "set_parked": "set_inactive", "cpu_park": "cpu_deactivate", "cpu_unpark": "cpu_activate",
        "a_parked_cpu_gets_nobody_else": "an_inactive_cpu_gets_no_other_thread",
    },
    # 26 xtask
    {
        "_hear": "_receive", "Vanished": "EndedEarly", "Typing": "StdinRelay",
        "test_an_emulator_that_vanishes_is_told_of": "test_an_emulator_that_ends_early_is_reported",
    },
]

# Parts of longer names.
PART = [
    (r"corpses", "dead_lwps"), (r"corpse", "dead_lwp"), (r"CORPSES", "DEAD_LWPS"),
    (r"Corpses", "DeadLwps"), (r"Corpse", "DeadLwp"),
    (r"(?<=_)master(?=s?(_|$))", "exit_owner"), (r"(?<=_)a_exit_owner", "an_exit_owner"),
    (r"(?<=_)brood(?=(_|$))", "children"), (r"(?<=_)doomed(?=(_|$))", "killed"), (r"(?<=_)doom(?=(_|$))", "kill"),
]

LWP_LIST = r"proc/lwp_list\.rs$"
EDITS = r"mutants/edits\.rs$"
KERNEL = r"^src/kernel/"
EXPLORE = r"^tools/explore/"
KERNEL_OR_EXPLORE = r"^(src/kernel|tools/explore)/"
MODELS = r"^src/core/tests/"
REFS = r"(core/src/thread/refs|mutants/edits)\.rs$"
SLOT_REFS = r"proc/slot_refs\.rs$"
DEAD = r"proc/dead_thread\.rs$"
GATE = r"(proc/gate|mutants/edits)\.rs$"
NOT_CASE = r"^(?!tests/images/conformance_kill\.rs)"

# Code and what stands in backticks: pattern, replacement, paths.
CODE = [
    # modules
    (r"\bproc::crew\b", "proc::lwp_list"), (r"\bcrew::", "lwp_list::"), (r"\bmod crew\b", "mod lwp_list"),
    (r"\bproc::cull\b", "proc::subtree_kill"), (r"\bcull::", "subtree_kill::"), (r"\bmod cull\b", "mod subtree_kill"),
    (r"\bproc::loan\b", "proc::vfork"), (r"\bloan::", "vfork::"), (r"\bmod loan\b", "mod vfork"),
    (r"\bproc::tenure\b", "proc::slot_refs"), (r"\btenure::", "slot_refs::"), (r"\bmod tenure\b", "mod slot_refs"),
    (r"\bthread::doom\b", "thread::kill_flag"), (r"\bdoom::doom\b", "kill_flag::post_kill"),
    (r"\bdoom::", "kill_flag::"), (r"\bmod doom\b", "mod kill_flag"),
    (r"\bproc::corpse\b", "proc::dead_thread"), (r"\bproc::figures\b", "proc::stats"),
    (r"\bmod figures\b", "mod stats", KERNEL), (r"`figures`", "`stats`", KERNEL),
    (r"\bproc::lwps\b", "proc::lwp_info"), (r"\bmod lwps\b", "mod lwp_info", KERNEL),
    (r"`lwps`(?= \|)", "`lwp_info`", r"proc/mod\.rs$"),
    (r"\bproc::report\b", "proc::process_info"), (r"\bmod report\b", "mod process_info", KERNEL),
    (r"\breport::process\b", "process_info::process", KERNEL),
    (r"(use crate::proc::\{?[^;]*)\breport\b", r"\1process_info", KERNEL),
    (r"`report`(?= \|)", "`process_info`", r"proc/mod\.rs$"),
    (r"\bsched::parking\b", "sched::active"), (r"\bmod parking\b", "mod active"),
    (r"\bparking::park\b", "active::deactivate"), (r"\bparking::unpark\b", "active::activate"),
    (r"\bparking::", "active::", KERNEL), (r"(use crate::sched::\{[^}]*)\bparking\b", r"\1active"),
    (r"`parking`", "`active`", KERNEL),
    (r"\btime::wall\b", "time::realtime"), (r"\bmod wall\b", "mod realtime"), (r"\bwall::", "realtime::", KERNEL),
    (r"(use crate::time::\{[^}]*)\bwall\b", r"\1realtime"), (r"\bcrate::time::wall\b", "crate::time::realtime"),
    (r"\b(mod|crate::) ?elsewhere\b", lambda m: m.group(1) + (" " if m.group(1) == "mod" else "") + "check_templates", "^tools/xtask/"),
    (r"\belsewhere::", "check_templates::", "^tools/xtask/"),
    (r"\b(mod|crate::) ?typing\b", lambda m: m.group(1) + (" " if m.group(1) == "mod" else "") + "stdin_relay", "^tools/xtask/"),
    (r"\btyping::", "stdin_relay::", "^tools/xtask/"),
    (r"\b(mod|crate::) ?tree\b", lambda m: m.group(1) + (" " if m.group(1) == "mod" else "") + "source_tree", "^tools/xtask/"),
    (r"\btree::", "source_tree::", "^tools/xtask/"),
    (r"\b(mod|crate::) ?guest\b", lambda m: m.group(1) + (" " if m.group(1) == "mod" else "") + "qemu_run", "^tools/xtask/"),
    (r"\bguest::", "qemu_run::", "^tools/xtask/"),

    # 1, 2
    (r"\bdead_thread::bury\b|\bundertaker::bury\b", "dead_thread::finish_dead_thread"),
    (r"\bbury\b", "finish_dead_thread", r"(proc|glue)/dead_thread\.rs$|loom_kept_stacks\.rs$"),
    (r"\barena::bury\b", "arena::reap"), (r"\barena::bury\b|\bbury\b(?=.*\bprocess: &Process)", lambda m: m.group().replace("bury", "reap"), r"proc/(arena|spawn|wait|exec)\.rs$"),
    (r"\bSharers::bury\b", "Sharers::reap"), (r"\.bury\(\)", ".reap()"), (r"\bfn bury\(&self\)", "fn reap(&self)"),
    (r"\bbury\b", "reap", r"proc/(arena|sharers)\.rs$"),
    (r"\bwait::bury\b", "wait::free_zombie"), (r"\bbury\b", "free_zombie", r"(proc|glue)/wait\.rs$"),
    (r"\bexecute\b", "die_at_kill_point", r"^(src/kernel/src/(proc/(exit|fault|lwp)|sync/|start)|tools/explore/src/glue/)"),
    (r"\bCORPSE\b", "EXITED", r"proc/sharers\.rs$"),
    (r"\bcorpse", "exited", r"proc/sharers\.rs$"),

    # 3
    (r"\bdoom: Bell\b", "kill_bell: Bell"), (r"\b(self|roster)\.doom\.(ring|wait)\b", r"\1.kill_bell.\2"),
    (r"\bdoom: &Doom\b", "flag: &Doom"), (r"\bdoom\.set\b", "flag.set"),
    (r"\bdoom\(&(\w+)\.doomed\b", r"post_kill(&\1.kill_flag"), (r"post_kill\(&(\w+)\.doomed\b", r"post_kill(&\1.kill_flag"),
    (r"\bdoomed(: Doom\b)", r"kill_flag\1"), (r"\.doomed\.(set\(\)|clear\(\)|is_set\(\))", r".kill_flag.\1"),
    (r"\bdoomed\b", "killed", LWP_LIST), (r"\bDOOMED\b", "KILLED"),
    (r"\bdoomed, doom:", "kill_pending, kill_bell:"), (r"\bdoomed\b", "kill_pending"),
    (r"\bdoom\b", "post_kill"), (r"\bDoom,", "PostKill,", EXPLORE), (r"\bWhat::Doom\b", "What::PostKill", EXPLORE),
    (r"\bDOOM\b", "KILL_FLAG", EDITS),

    # 4
    (r"\bmasters\b", "exit_owners", NOT_CASE), (r"\bmaster\b", "exit_owner", NOT_CASE),
    (r"\bmasters\b", "parents", r"images/conformance_kill\.rs$"), (r"\bmaster\b", "parent", r"images/conformance_kill\.rs$"),

    # 5
    (r"\bMembers\b", "LwpEntries"), (r"(?<!::)\bMember(?=::new|\b *[>;,})])(?<!For::Member)", "LwpEntry", r"(proc/lwp_list|thread/mod|loom_exit|world/thread)\.rs$"),
    (r"\bMember\b(?!\()", "LwpEntry", r"(proc/lwp_list|kernel/src/thread/mod|loom_exit|world/thread)\.rs$"),
    (r"\blwp\.member\b", "lwp.list_entry"), (r"\bmember\(", "list_entry(", r"(proc/lwp_list|thread/mod|loom_exit|world/thread)\.rs$"),
    (r"\bmember: LwpEntry", "list_entry: LwpEntry"), (r"\bmembers\b", "entries", LWP_LIST),
    (r"\bmember\b", "list_entry", r"(kernel/src/thread/mod|loom_exit|world/thread)\.rs$"), (r"\bmember\b", "entry", LWP_LIST),
    (r"\.member\.tid\b", ".list_entry.tid"),
    (r"\bplace\b", "list", LWP_LIST), (r"\bFREE\b", "LIVE", LWP_LIST), (r"\bLEFT\b", "EXITED", LWP_LIST),
    (r"\bNOWHERE\b", "OFF", LWP_LIST), (r"\bfree\b", "live", LWP_LIST), (r"(?<=[.( ])left\b", "exited", LWP_LIST),
    (r"\bself\.left\b", "self.exited", LWP_LIST), (r"\b_crew: &Crew\b", "_lwps: &Crew"),
    (r"\bcrew\.crew\(\)", "lwps.lwps()"), (r"\bcrew\.admit\b", "lwps.insert"), (r"\blwps\.admit\b", "lwps.insert"),
    (r"\b(crew|lwps)\(\)\.admit\b", "lwps().insert"), (r"\bfn admit\b|\badmit(?=\()", lambda m: m.group().replace("admit", "insert"), LWP_LIST),
    (r"\b(crew|lwps)(\(\))?\.quit\b", lambda m: "lwps" + (m.group(2) or "") + ".remove"),
    (r"\bquit\b", "remove", LWP_LIST), (r"\badmit\b", "insert", LWP_LIST),
    (r"\bCrew::(admit|quit)\b", lambda m: "Crew::" + {"admit": "insert", "quit": "remove"}[m.group(1)]),
    (r"\bcrew\b", "lwps"), (r"\bunlist\b", "unlist"),

    # 6, 7
    (r"\bfamily\(children: &\[\(i32, bool\)\]\)", "family(members: &[(i32, bool)])", r"proc/family\.rs$"), (r"\.zip\(children\)", ".zip(members)", r"proc/family\.rs$"),
    (r"\btable\.0\[([^\]]*)\]\.name\(", r"table.0[\1].init(", r"proc/family\.rs$"),
    (r"\bbrood\b", "child_list", r"tests/(wait_cost|waits)\.rs$"), (r"\.name\((?=Pid::new\()", ".init("),
    (r"\bbrood\b", "children"),
    (r"\bkin(\[[^\]]*\])?\.name\(", lambda m: ("links" + m.group(1) if m.group(1) else "family") + ".init("),
    (r"\bpub fn name\(", "pub fn init(", r"proc/family\.rs$"), (r"\bKin::name\b", "Kin::init"),
    (r"\bfn kin\(", "fn family_links("), (r"\.kin\(", ".family_links("),
    (r"\.kin\b", ".links", MODELS), (r"\bkin: \[", "links: ["), (r"\bkin: (core|std)::array", r"links: \1::array"),
    (r"\.kin\b", ".family", KERNEL_OR_EXPLORE), (r"\bkin: Kin\b", "family: Kin"),
    (r"\bkin\b", "links"),

    # 8, 9, 10
    (r"\bHOLD\b", "REF", REFS), (r"\bHOLD_MASK\b", "REF_MASK", REFS),
    (r"\bfn hold\b", "fn get", r"core/src/(thread/refs|proc/slot_refs)\.rs$"),
    (r"\b(remains|tenure|holds|refs)\.hold\(\)", r"\1.get()"),
    (r"\bpub fn release\b", "pub fn put", r"core/src/(thread/refs|proc/slot_refs)\.rs$"),
    (r"\b(remains|tenure|holds|refs|record)\.release\(\)", r"\1.put()"),
    (r"\bRemains::free\(\)\.release\(\)", "Remains::free().put()"),
    (r"\b(Remains|Tenure)::(hold|try_hold|release)\b",
     lambda m: m.group(1) + "::" + {"hold": "get", "try_hold": "try_get", "release": "put"}[m.group(2)]),
    (r"\btenure\.begin\(\)", "tenure.occupy()"), (r"\bTenure::begin\b", "Tenure::occupy"),
    (r"\bbegin\b", "occupy", SLOT_REFS), (r"\brefs\.begin\(\)", "refs.occupy()"),
    (r"\bholds: Remains", "refs: Remains"), (r"\b(self|process|reaper|next)\.holds\.(?=try_hold|try_get|release|put|counts|occupy)", r"\1.refs."),
    (r"\bself\.holds\b", "self.refs", SLOT_REFS), (r"\bholds: Cell\b", "refs: Cell"), (r"\bseen\.holds\b", "seen.refs"),
    (r"\bholds\b(?=\.(release|put|try_hold)\(|: Remains)", "refs", MODELS),
    (r"\bWhat::Hold\b", "What::TakeRef"), (r"\bHold,", "TakeRef,", r"explore/src/event\.rs$"),
    (r"\bhold\b(?=\.pid\(\)|\.is_born|\.gate|\)$|\)\n| = self\.(hold_slot|find_slot))", "found", r"proc/table\.rs$"),
    (r"`hold`", "`get_ref`", r"glue/table\.rs$"),
    (r"\bHold\b", "ProcessRef", KERNEL), (r"\bProcessRef::keep\b", "ProcessRef::into_raw"),
    (r"\btable::hold\b", "table::get_ref"), (r"\btable::release\b", "table::put"),
    (r"\bfn hold\b", "fn get_ref", KERNEL_OR_EXPLORE), (r"\.hold\(\)\.keep\(\)", ".get_ref().into_raw()"), (r"\.hold\(\)", ".get_ref()", KERNEL),
    (r"\bProcess::hold\b", "Process::get_ref"), (r"\b(process|founder|hold|leader|payer)\.keep\(\)", r"\1.into_raw()", KERNEL),
    (r"\bfn keep\(self\) -> &'static Process", "fn into_raw(self) -> &'static Process"),
    (r"\bProcess::release\b", "Process::put"),
    (r"\b(payer|leader|child|process|borrower|founder|tenant)\.release\(\)", r"\1.put()", KERNEL),
    (r"(PROCESSES\.get\((?:[^()]|\([^()]*\))*\))\.release\(\)", r"\1.put()"),
    (r"\bself\.0\.release\(\)", "self.0.put()", r"proc/table\.rs$"), (r"\bfn release\(&self\)", "fn put(&self)", r"proc/table\.rs$"),
    (r"\brelease\b", "put", r"glue/table\.rs$"), (r"\brelease\b", "put", r"loom_(dead_lwp|kept_stacks|vfork)\.rs$"),
    (r"(?<!Ordering::)\bRelease\b", "PutRef", r"explore/src/event\.rs$"), (r"\bWhat::Release\b", "What::PutRef"),
    (r"\b(undertaker|dead_thread)::release\b", "dead_thread::put_thread"), (r"\b(undertaker|dead_thread)::unpin\b", "dead_thread::unpin_stack"),
    (r"(?<![.:])\brelease\b(?=\((w, )?thread\)|\(w: &World, thread|\(thread: )", "put_thread", r"(proc|glue)/dead_thread\.rs$"),
    (r"`release`", "`put_thread`", DEAD),
    (r"(?<![.:])\bunpin\b(?=\((w, )?thread\)|\(w: &World, thread|\(thread: )", "unpin_stack", r"(proc|glue)/dead_thread\.rs$"),

    # 11
    (r"\bReason::Loan\b", "Reason::Vfork"), (r"\bLoan(?=,| =>)", "Vfork", r"wait/reason\.rs$"), (r"\bSelf::Loan\b", "Self::Vfork"),
    (r"\bloan\.give_back\b", "vfork_wait.done"), (r"\bLoan::give_back\b", "Loan::done"),
    (r"\bgive_back\b", "done", r"core/src/proc/vfork\.rs$|loom_vfork\.rs$"), (r"\bloan\b", "vfork_wait"),
    (r"\bfn lend\b|\.lend\(\)", lambda m: m.group().replace("lend", "wait_for_child"), r"loom_vfork\.rs$"),

    # 12
    (r"\bcull\b", "kill", r"loom_subtree_kill\.rs$"), (r"\bcull\b", "subtree_kill"),

    # 13
    (r"\bheard\b", "seen_signals", r"^(src/kernel/src/proc|tools/explore/src/glue)/"),
    (r"\bHeard\b", "Outcome", r"xtask/src/test/board/"), (r"\bheard\b", "outcome", r"xtask/src/test/board/send\.rs$"),
    (r"\bHeard\b", "Received", r"xtask/src/qemu_run\.rs$"), (r"\bheard\b", "received", r"^tools/xtask/"),
    (r"\bhear\b", "receive", r"xtask/src/test/board/"), (r"\bhear\b", "show", r"xtask/src/test/soak\.rs$"),

    # 14
    (r"\bgather\b", "stop_siblings", r"(proc|glue)/exit\.rs$"), (r"\bdepart\b", "exit_quietly", KERNEL_OR_EXPLORE),
    (r"\bdepart\b", "exit_as", r"loom_gate\.rs$"),
    (r"\bstrip\b", "drop_fp_and_tls", r"src/kernel/src/proc/"),

    # 15, 17
    (r"\bLeave::Quietly\b", "ExitRole::Thread"), (r"\bQuietly\b", "Thread", r"proc/gate\.rs$"),
    (r"(?<!What::)(?<!\w)Leave\b(?!,\n    Doom|,\n    PostKill)", "ExitRole", r"^(src/(kernel|core)|tools/explore/src/(glue|world))/"),
    (r"\bgate\.leave\b", "gate.thread_exit"), (r"\bGate::leave\b", "Gate::thread_exit"),
    (r"\bleave\b", "thread_exit", r"proc/gate\.rs$"),
    (r"\bSINGLE\b", "SINGLE_THREADING", GATE), (r"\bSINGLE\b", "SINGLE_THREADING", r"\.md$"),
    (r"\bSingle\b", "SingleThreading", r"core/src/(proc/gate|wait/reason)\.rs$"), (r"\bReason::Single\b", "Reason::SingleThreading"),
    (r"\bWaitReason::Single\b", "WaitReason::SingleThreading"),
    (r"(?<=[\w)])\.alone\b(?!\()", ".siblings_gone", KERNEL_OR_EXPLORE), (r"\balone: (WaitQueue|Queue)\b", r"siblings_gone: \1"),
    (r"\bQueueId::Alone\b", "QueueId::SiblingsGone"), (r"\bAlone\(", "SiblingsGone(", r"explore/src/world/queue\.rs$"),

    # 18, 19, 20
    (r"\bmanner\b", "options", r"^(?!src/kernel/src/proc/wait\.rs)"), (r"\bmanner\b", "wait_options"),
    (r"(?<!At::)\bWoken\b", "WaitResult", r"^(src/(kernel|init)|tests|tools/explore|README|ARCHITECTURE|docs)"),
    (r"(?<!Toucher::)\bService\b", "KernelSection", r"^(src/kernel/src/(?!thread/lazy)|ARCHITECTURE|docs/|tests/)"),

    # 22, 23, 24
    (r"\bready::settle\b", "ready::complete_unpark"), (r"\bsettle\b", "complete_unpark", r"(sched|glue)/ready\.rs$"),
    (r"\bready::place\b", "ready::enqueue_on_best_cpu"), (r"(?<![.\w])(?<!::)\bplace\(", "enqueue_on_best_cpu(", r"kernel/src/sched/ready\.rs$"),
    (r"`place`", "`enqueue_on_best_cpu`", r"kernel/src/sched/ready\.rs$"),
    (r"\bWhy::Parks\b", "Why::Block"), (r"\bWhy::Evicted\b", "Why::Migrate"),
    (r"\bParks\b", "Block", r"(sched|glue)/switch\.rs$"), (r"\bEvicted\b", "Migrate", r"(sched|glue)/switch\.rs$"),
    (r"\bWhy\b", "SwitchReason", r"(sched|glue)/switch\.rs$"), (r"\bwhy\b", "reason", r"(sched|glue)/switch\.rs$"),
    (r"\bHandover\b", "PrevAction", KERNEL_OR_EXPLORE), (r"\bhandover\b", "prev_action", r"(sched/switch|cpu/mod|glue/switch|world/cpu)\.rs$"),
    (r"\bfn park\b", "fn deactivate", r"sched/active\.rs$|src/init/commands\.rs$"),
    (r"\bfn unpark\b", "fn activate", r"sched/active\.rs$|src/init/commands\.rs$"),
    (r"\brun: park\b", "run: deactivate", r"src/init/"), (r"\brun: unpark\b", "run: activate", r"src/init/"),
    (r"\bcpu\.parking\b", "cpu.recheck_active", KERNEL), (r"\bparking: AtomicBool", "recheck_active: AtomicBool", KERNEL),
    (r"\bcpu\.parked\b", "cpu.inactive"), (r"\bparked: (Cell32|false|bool|cpu)", r"inactive: \1", KERNEL),
    (r"\bparked\b", "inactive", r"kernel/src/(cpu/mask|sched/active)\.rs$|images/cpu_deactivate\.rs$"),
    (r"\bPARKED\b", "INACTIVE", r"kernel/src/cpu/mask\.rs$"), (r"\breport\.parked\b", "report.inactive"),
    (r"\b_parked_meanwhile\b", "_inactive_meanwhile"),
    (r"\bpub fn open\b", "pub fn active", r"kernel/src/cpu/mask\.rs$"), (r"\bmask::open\b", "mask::active", KERNEL),
    (r"\bWoken\b", "WaitResult", r"lint/timed\.rs$"),
]

DIAGRAM_LIST = (LWP_LIST, '''//!   admit --> FREE --doom_next--> DOOMED        quit --> LEFT (a handle is out) --unlist, take_left--> NOWHERE
//!               `---------------------`---------------> NOWHERE (no handle)
''', '''//!   insert --> LIVE --mark_next_killed--> KILLED     remove --> EXITED (a handle exists) --unlist, take_exited--> OFF
//!                `-----------------------------`-----------> OFF (no handle)
''')
DIAGRAM_GATE = (r"proc/gate\.rs$", '''//!   63..60 flags: CLAIMED ZOMBIE SINGLE EXITING     59..30 present     29..0 live
//!
//!   (live 1, present 1)  --create-->  live+1, present+1           refused once EXITING or SINGLE is set
//!        --leave--> live > 1 or EXITING: live-1 (quietly)         live == 1: EXITING (this LWP is the master)
//!        --exit---> not EXITING: EXITING (master)                 else live-1 (quietly)
//!        --off_cpu-> present-1; at 1 with EXITING: wake the master; at 0: ZOMBIE (publish)
//!        --claim--> ZOMBIE and not CLAIMED: CLAIMED (the one right to reap)
''', '''//!   63..60 flags: CLAIMED ZOMBIE SINGLE_THREADING EXITING     59..30 present     29..0 live
//!
//!   (live 1, present 1)  --create-->  live+1, present+1           refused once EXITING or SINGLE_THREADING is set
//!        --thread_exit--> live > 1 or EXITING: live-1 (thread)    live == 1: EXITING (this LWP owns the exit)
//!        --exit---------> not EXITING: EXITING (exit owner)       else live-1 (thread)
//!        --off_cpu------> present-1; at 1 with EXITING: wake the exit owner; at 0: ZOMBIE (publish)
//!        --claim--------> ZOMBIE and not CLAIMED: CLAIMED (the one right to reap)
''')
DIAGRAM_LIFE = (r"^(ARCHITECTURE|docs/.*)\.md$", '''spawn      record (slot + generation = pid), crew, first LWP; into the parent's brood; queued
run        LWPs come (gate.create under the crew's lock) and go (gate.leave, quietly)
exit       gate.exit elects one master; or the last LWP that leaves becomes it; or a signal does it for one of them
  doom     the master tells all others to die: flag, then sleep ended if killable, then SGI if running elsewhere
  alone    the master waits until it is the only LWP whose context is not off its CPU
  peers    the leader of a task group tells its peers to die, and waits until the last one has left the group
  teardown stacks of the dead go back, process_exit handlers, at_exit hooks, the arena, memory on loan and the place in
           the leader's group are given back, children go to the nearest reaper, what else the LWP has
  switch   the master switches away for the last time
''', '''spawn      record (slot + generation = pid), LWP list, first LWP; into the parent's child list; queued
run        LWPs are created (gate.create under the LWP list's lock) and exit (gate.thread_exit)
exit       gate.exit elects the exit owner; or the last LWP that exits becomes it; or a signal does it for one of them
  kill     the exit owner kills all others: flag, then sleep ended if killable, then SGI if running elsewhere
  alone    the exit owner waits until it is the only LWP whose context is not off its CPU
  peers    the leader of a task group kills its peers, and waits until the last one has left the group
  teardown stacks of dead LWPs are freed, process_exit handlers, at_exit hooks, the arena and the entry in the leader's
           group are released, a vfork parent is woken, children go to the nearest reaper, then the rest of the LWP
  switch   the exit owner switches away for the last time
''')
LITERALS = [
    DIAGRAM_LIST, DIAGRAM_GATE, DIAGRAM_LIFE,
    (r"src/init/commands\.rs$", 'name: "park", usage: "CPU"', 'name: "deactivate", usage: "CPU"'),
    (r"src/init/commands\.rs$", 'name: "unpark", usage: "CPU"', 'name: "activate", usage: "CPU"'),
    (r"src/init/show\.rs$", 'if cpu.parked { "parked" }', 'if cpu.inactive { "inactive" }'),
    (r"lint/timed\.rs$", "in a manner that may have a deadline", "with wait options that may have a deadline"),
    (r"wait/reason\.rs$", '"the memory it has lent"', '"its vfork child"'),
    (r"tools/lab/strategies\.py$", "heard", "received"),
    (r"src/bin/echo\.rs$|images/.*\.rs$|xtask/", '"heard: ', '"received: '),
]

HOLDERS = r"^(?!src/kernel/src/sync/(token|mutex)|src/init/|tests/images/(token|mutex)|LICENSE)"
NOT_L02 = r"^(?!tests/images/conformance_kill\.rs|tools/xtask/src/sdcard/)"

# Sentences of comments, strings and documents, on one line; \x01..\x02 is what stood in backticks.
PROSE = [
    # undertaker, executioner
    (r"\b[Tt]he undertaker hook\b", "the dead-thread hook"), (r"\bundertaker hook\b", "dead-thread hook"),
    (r"\bthe undertaker \((\x01\d+\x02), called by", r"the dead-thread hook (\1, called by"),
    (r"\bthe undertaker (does|is registered)\b", r"the dead-thread hook \1"), (r"\bundertaker\b", "dead-thread hook"),
    (r"\bThe executioner hook of\b", "The kill handler of"), (r"\bexecutioner\b", "kill handler"),
    (r"\bBuries (\x01\d+\x02)", r"Finishes the dead \1"), (r"\bBuries\b", "Finishes"), (r"\bbury\b", "finish"),
    (r"\bnot that it has been buried\b", "not that it has been freed"), (r"\bwhen the (master|exit owner) is buried\b", "when the exit owner is finished"),
    (r"\bwhen it is buried\b", "when it is finished"), (r"\bA dead thread is buried before\b", "A dead thread is finished before"),
    (r"\bburied\b", "finished"), (r"\bso that whoever the burial wakes can be it\b", "so that a thread that this wakes can be it"),
    (r"\bA burial, on\b", "The end of a dead thread, on"), (r"\bthe burial\b", "the end of the dead thread"), (r"\bburial\b", "end of a dead thread"),

    # doom
    (r"\bA doomed LWP\b", "An LWP with a kill pending"), (r"\ba doomed LWP\b", "an LWP with a kill pending"),
    (r"\bWhere an LWP with a kill pending goes on that was interrupted in program code\b", "Where an LWP with a kill pending continues that was interrupted in program code"),
    (r"\b[Dd]ooming LWPs, and signals\b", "setting LWPs' kill flags, and signals"), (r"\bdooming LWPs\b", "killing LWPs"),
    (r"\bMarks the calling LWP, too, as doomed\b", "Sets the calling LWP's kill flag, too"), (r"\bhas marked it doomed\b", "has set its kill flag"),
    (r"\bfind themselves doomed\b", "find their kill pending"), (r"\bcounts as doomed\b", "counts as killed"),
    (r"\b(has|have|had|been) (ever )?doomed\b", r"\1 \2killed"), (r"\bis doomed\b", "has a kill pending"), (r"\bare doomed\b", "have a kill pending"),
    (r"\bit is killed before\b", "it is killed before"),
    (r"\bdoom of the caller\b", "caller's pending kill"), (r"\bthe caller's doom\b", "the caller's pending kill"),
    (r"\b(its|their|the LWP's) doom\b", r"\1 pending kill"), (r"\b[Tt]he doom is honoured\b", "the pending kill is honoured"),
    (r"\bThe doom of the siblings\b", "The kill of the siblings"), (r"\bdoom flag\b", "kill flag"), (r"\bdoom against sleep\b", "kill against sleep"),
    (r"\bthe test for doom\b", "the test for a kill"), (r"\bsees the doom\b", "sees the kill"), (r"\binternal doom\b", "internal kill flag"),
    (r"\bwhoever dooms\b", "the killer that marks"), (r"\bdooms everybody\b", "kills everybody"), (r"\bdooms\b", "kills"), (r"\bdooming\b", "killing"),
    (r"^(\W*)Doom: how\b", r"\1The kill flag: how"), (r"\bdoomed\b", "killed"), (r"\bdoom\b", "kill"), (r"\bDoom\b", "Kill"),

    # corpse
    (r"\bcorpses\b", "exited users", r"proc/sharers\.rs$"), (r"\ba (\*?)corpse\b", r"an \1exited user", r"proc/sharers\.rs$"),
    (r"\bA corpse\b", "An exited user", r"proc/sharers\.rs$"), (r"\bcorpse\b", "exited user", r"proc/sharers\.rs$"),
    (r"\bwhen the last \*corpse\* that had it\b", "when the last exited process that had it"),
    (r"\bidles with a corpse\b", "idles with a dead LWP"), (r"\bone held corpse\b", "one dead LWP with a reference"), (r"\bone corpse held\b", "one dead LWP referenced"),
    (r"\bkept corpses\b", "kept stacks of dead LWPs"), (r"\bcorpses\b", "dead LWPs"), (r"\bCorpses\b", "Dead LWPs"), (r"\bcorpse\b", "dead LWP"), (r"\bCorpse\b", "Dead LWP"),

    # master
    (r"\banother LWP is the master: leave without\b", "another LWP is the exit owner: leave without"), (r"\bOne LWP is the master\b", "One LWP owns the exit"), (r"\bthis LWP is the master\b", "this LWP owns the exit"),
    (r"\b[Aa] master\b", lambda m: ("An" if m.group()[0] == "A" else "an") + " exit owner", NOT_L02),
    (r"\belected master\b", "elected exit owner"), (r"\bas master\b", "as exit owner"), (r"\bbecome master of\b", "become owner of"),
    (r"\bG masters x N\b", "G parents x N"), (r"\bmasters\b", "parents", r"images/conformance_kill\.rs$"), (r"\bmasters\b", "exit owners", NOT_L02), (r"\bMasters\b", "Exit owners", NOT_L02), (r"\bmaster\b(?!:\d)", "exit owner", NOT_L02), (r"\bMaster\b", "Exit owner", NOT_L02),

    # crew
    (r"\b[Tt]he crew: the LWPs of a process, in lists\b", "The LWP list: the LWPs of a process, in lists"),
    (r"\bthe crew locked\b", "the LWP list locked"), (r"\bFinds the crew's part of an LWP\b", "Finds the list entry of an LWP"),
    (r"\b[Aa] crew\b", lambda m: ("An" if m.group()[0] == "A" else "an") + " LWP list"), (r"\bcrews\b", "LWP lists"), (r"\bCrews\b", "LWP lists"),
    (r"\bcrew\b", "LWP list"), (r"\bCrew\b", "LWP list"),

    # brood, kin
    (r"\bwhose brood this is\b", "whose child list this is"), (r"\bbrood lock\b", "child list's lock"), (r"\bbrood\b", "child list"), (r"\bbroods\b", "child lists"), (r"\bBrood\b", "Child list"),
    (r"\bKin of\b", "Family links of"), (r"\bkin\b", "family links"), (r"\bKin\b", "Family links"), (r"\bkinship\b", "family links"),

    # tenure, remains
    (r"^(\W*)Tenure: which\b", r"\1Slot references: which"), (r"\bits tenure, its record\b", "its references, its record"),
    (r"\bThe twin of a tenure whose generation\b", "The twin of the slot's references whose generation"), (r"\btenure\b", "slot references"), (r"\bTenure\b", "Slot references"),
    (r"\band their remains are gone\b", "and their records and stacks are freed"), (r"\bnobody remains\b", "nobody is left"),
    (r"\bwhat remains is done\b", "the rest is done"), (r"\bremains valid\b", "stays valid"), (r"\bremains of\b", "what is left of"), (r"\bremains\b", "stays"),

    # hold
    (r"\bunder (the same|this very|one) hold of\b", r"under \1 acquisition of"), (r"\bhold of the (two )?locks?\b", lambda m: m.group().replace("hold", "acquisition")),
    (r"\*hold\*", "*reference*"), (r"\b([Hh])olds and pins\b", lambda m: ("References" if m.group(1) == "H" else "references") + " and pins"),
    (r"\bpin and hold\b", "pin and reference"), (r"\b([Aa]|[Tt]he|[Ii]ts|own|[Ff]irst|[Ll]ast|more|other|[Nn]o|any|one|is that|[A-Za-z]+'s) hold on\b", r"\1 reference to", HOLDERS),
    (r"\bholds on\b", "references to", HOLDERS), (r"\bmore hold\b", "more reference", HOLDERS),
    (r"\b(queue's|spawner's|sender's) hold\b", r"\1 reference"), (r"\b([Aa]|[Tt]he|[Ii]ts|[Ii]ts own|own|[Ff]irst|[Ll]ast|[Oo]ne|spare|any) hold\b", r"\1 reference", HOLDERS),
    (r"\b(process|queue|spawner|holder|caller|record|table|LWP|handle)'s (own )?hold\b", r"\1's \2reference", HOLDERS), (r"\bOne more reference\b", "One more reference"),
    (r"\bprocess hold dropped\b", "process reference dropped"), (r"\bhold (dropped|count)\b", r"reference \1"),
    (r"\b(process|LWP|no|without|through|by) holds\b", r"\1 references", r"requirements\.toml$|ARCHITECTURE|proc/|thread/|explore|tests/loom|images/lwp_"),
    (r"\bholds are (never|tested)\b", r"references are \1"), (r"\bholds (were|be|are) (tested|taken|dropped)\b", r"references \1 \2"), (r"\bholds dropped\b", "references dropped"),
    (r"\bHolds there should be\b", "References there should be"), (r"\bthe holds on\b", "the references to"), (r"\bholds, a process\b", "references, a process"),
    (r"\bkept by holds\b", "kept by references"), (r"\bwait queues, holds\b", "wait queues, references"), (r"\btaking a slot, holds\b", "taking a slot, references"),
    (r"\btest of holds\b", "test of references"), (r"\bThe holds\b", "The references"), (r"\{\} holds\b", "{} references"), (r"\{holds\} holds\b", "{holds} references"), (r"\bno holds\b", "no references"),

    (r"\bon which (there is|it has|this one has|nobody has|nobody else has|nobody|he has) a (hold|reference)\b", r"to which \1 a reference"), (r"\bthose on which nobody else has a (hold|reference) any more\b", "those to which nobody else has a reference any more"),
    (r"\bon whose record this one has a (hold|reference)\b", "to whose record this one has a reference"), (r"\bholder's (own )?hold keeps\b", r"holder's \1reference keeps"),
    (r"\bneeds no hold\b", "needs no reference"), (r"\bno hold is lost\b", "no reference is lost"), (r"\bHolds on the record\b", "References to the record"), (r"\brefused hold\b", "refused reference"),
    (r"\bhas no hold\b", "has no reference"), (r"\bhold taken after\b", "reference taken after"), (r"\bsender's hold\b", "sender's reference"),
    (r"\bwith a hold on each in turn\b", "with a reference to each in turn"),

    # loan
    (r"^(\W*)Memory on loan: a spawner waits\b", r"\1vfork: a spawner waits"), (r"\btask groups, loans,", "task groups, vfork,"),
    (r"\bNothing is on loan\b", "No vfork is in progress"), (r"\bit was on loan\b", "a vfork was in progress"), (r"\bmemory on loan\b", "memory shared by vfork"),
    (r"\bon loan\b", "shared by vfork"), (r"\bloans\b", "vforks"), (r"\bloan\b", "vfork wait"), (r"\bLoan\b", "Vfork wait"),

    # cull
    (r"\bfind the cull\b", "find the subtree kill"), (r"\bculls\b", "subtree kills"), (r"\bculled\b", "killed with a subtree"), (r"\bcull\b", "subtree kill"),

    # hear
    (r"\bnobody hears of\b", "is reported to nobody"), (r"\bwaits by SIGCHLD alone hears of\b", "waits by SIGCHLD alone learns of"), (r"\bhears nothing\b", "receives nothing"),
    (r"\bhears all that it says\b", "gets every line of its output"), (r"\bhears what it says\b", "gets its output"), (r"\bhas heard enough\b", "has enough output"),
    (r"\bWhat was heard of\b", "What was received from"), (r"\bnothing is heard\b", "nothing is received"), (r"\bit has (\x01\d+\x02) of the signals\b", r"it has seen (\1) of the signals"),
    (r"\bhas heard of\b", "has seen"), (r"\bevery CPU hears of each\b", "every CPU gets a message for each"), (r"\bby the time it hears\b", "by the time the report arrives"),
    (r"\bhears of\b", "learns of"), (r"\bhears\b", "receives"), (r"\bheard\b", "received"), (r"\bhear\b", "receive"), (r"\bunheard\b", "not received"),

    # manner
    (r"\(LWKT manner\)", "(as in LWKT)"), (r"\bin the LWKT manner\b", "as LWKT does"), (r"\bin the same manner\b", "the same way"),
    (r"\bThe function that waits in a manner, and the manners without a deadline\b", "The function that waits with options, and the options without a deadline"),
    (r"\bin a manner that may have\b", "with wait options that may have"), (r"\bmanners\b", "wait options"), (r"\bmanner\b", "way"),

    # custody, heed, vanish
    (r"\bcustody\b", "kill shield"), (r"\bheed(s|ed)?\b", r"check\1"), (r"\bthat vanishes\b", "that ends early"), (r"\bvanishes\b", "disappears"), (r"\bvanished\b", "disappeared"), (r"\bvanish\b", "disappear"),

    # departure, single, parking
    (r"\bthe LWP becoming single\b", "the LWP that single-threads the process"), (r"\bthat becomes single\b", "that single-threads the process"),
    (r"\bwho becomes single\b", "that single-threads the process"), (r'\("become single", as exec does\)', "(single-threading, as exec does)"),
    (r"\bthe gate's SINGLE flag\b", "the gate's SINGLE_THREADING flag"), (r"\bthe gate's SINGLE\b", "the gate's SINGLE_THREADING"),
    (r"\bIts CPU is parked\b", "Its CPU is inactive"), (r"\bCPU has been parked\b", "CPU has been deactivated"), (r"\bparked CPU\b", "inactive CPU"), (r"\bA inactive\b", "An inactive"), (r"\ba inactive\b", "an inactive"), (r"\bParked CPUs\b", "Inactive CPUs"),
    (r"\bA CPU can be parked\b", "A CPU can be deactivated"), (r"\bcan be parked: it gives away whoever may run elsewhere\b", "can be deactivated: it gives away threads that may run elsewhere"),
    (r"\bnone of them is online and not parked\b", "none of them is active"), (r"\bit is not online, or not parked\b", "it is not online, or is active"),
    (r"\bWhat cannot be parked, or is not parked, is refused\b", "What cannot be deactivated, or activated, is refused"), (r"\bmoment when it is parked\b", "moment when it is deactivated"),
    (r"\bonline and not parked\b", "online and not deactivated"), (r"\bif this CPU was parked\b", "if this CPU was deactivated"),
    (r"\bbecause it is parked\b", "because it is inactive"), (r"\bThe CPU that is parked here\b", "The CPU that is deactivated here"), (r"\bThe CPU may be parked already\b", "The CPU may be inactive already"),
    (r"\bnobody goes to a parked CPU who may go elsewhere; who may not stays\b", "a thread that may run elsewhere is not put on an inactive CPU; one that may not stays"),
    (r"\bthose that are not parked; who may run on parked ones only runs there\b", "those that are active; a thread that may run on inactive ones only runs there"),
    (r"\bIt is to look whether it is parked\b", "It is to check whether it is active"),
    (r"\bParks (the )?CPU\b", r"Deactivates \1CPU"), (r"\bso parking leaves\b", "so deactivation leaves"),
    (r"\bparked\b", "inactive", r"sched/(active|idle|ready|place)\.rs$|cpu/(mask|mod)\.rs$|images/cpu_deactivate\.rs$|kernel/src/api\.rs$|proc/stats\.rs$"),
    (r"\bIts CPU is parked\b", "Its CPU is inactive"), (r"\bCPU has been parked\b", "CPU has been deactivated"), (r"\bCPU offline/park of\b", "CPU deactivation of"), (r"\bprojects elsewhere\b", "projects of the templates"),

    # articles
    (r"\b([Aa]) (?=(exit owner|LWP list|LWP\b|exited|inactive))", lambda m: ("An" if m.group(1) == "A" else "an") + " "),
]

LEFT = [
    ("undertaker, executioner", r"undertak|executioner"), ("bury", r"\bbur(y|ies|ied|ial)|_bury|bury_"), ("brood", "brood"), ("crew", r"crews?(\b|_)|Crew"), ("kin", r"\bkin\b|kinship"),
    ("tenure", "tenure"), ("remains", r"\bremains\b"), ("cull", r"\bcull|_cull|cull_"), ("doom", "doom"), ("loan", r"\bloans?\b|_loan|loan_"), ("custody", "custody"),
    ("manner", r"\bmanners?\b|_manner"), ("heed", r"\bheed"), ("vanish", "vanish"), ("hear", r"\bhears?\b|\bheard\b|_hear\b|hear_|_heard"), ("corpse", "corpse"),
    ("master", r"\bmasters?\b(?!:1)|_master"), ("hold as a reference", r"try_hold|hold_slot|\b(a|its|the|last|first|own|one) hold\b|holds on\b|(?-i:\bHold\()"),
    ("the gate", r"AsMaster|::Quietly|become_single|\bDeparture"), ("waiting", r"\bWoken::|sleep_enlisted|withdraw_for_good|prepare_unless"), ("scheduler", r"\btake_mail|give_way|\bWhy::|(?-i:\bHandover::)"),
]
