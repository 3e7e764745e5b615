//! What a worker gives up before it runs anybody's function: files, network, other processes.
//!
//! JavaScript has no way to ask for these. This is for the day on which the engine has a hole. Where the
//! kernel lacks a protection the worker runs without it, and the host logs which.

/// Gives up what can be given up; the names of what could not be.
pub(super) fn harden(address_space_bytes: u64) -> Vec<String> {
    let mut missing = Vec::new();
    let mut note = |name: &str, done: Result<(), String>| {
        if let Err(error) = done {
            missing.push(format!("{name} ({error})"));
        }
    };
    note("limits of resources", limit_resources(address_space_bytes));
    #[cfg(target_os = "linux")]
    {
        note("no new privileges", linux::no_new_privileges());
        note("Landlock", linux::landlock());
        note("seccomp", linux::seccomp());
    }
    missing
}

fn limit_resources(address_space_bytes: u64) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let set = |resource, value| {
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(resource, limit).map_err(|error| error.to_string())
    };
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Nofile, 3)?; // the three that are open
    set(Resource::As, address_space_bytes)?;
    set(Resource::Nproc, 0)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset,
        RulesetAttr as _, RulesetStatus, Scope,
    };
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    pub(super) fn no_new_privileges() -> Result<(), String> {
        rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())
    }

    /// No path may be opened, no port bound or connected.
    pub(super) fn landlock() -> Result<(), String> {
        let abi = ABI::V6;
        let restrict = || {
            Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(abi))?
                .handle_access(AccessNet::from_all(abi))?
                .scope(Scope::from_all(abi))?
                .create()?
                .restrict_self()
        };
        let status = restrict().map_err(|error| error.to_string())?;
        match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err("the kernel does not have it".to_owned()),
        }
    }

    /// Calls of the kernel that are needed to read, write, have memory, know the time and end. Any other
    /// one fails as if it were not permitted.
    const ALLOWED: &[libc::c_long] = &[
        libc::SYS_brk,
        libc::SYS_clock_getres,
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_fstat,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_gettimeofday,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_ppoll,
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_sendmsg,
        libc::SYS_sendto,
        libc::SYS_set_robust_list,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
        libc::SYS_write,
        libc::SYS_writev,
    ];

    pub(super) fn seccomp() -> Result<(), String> {
        let arch = std::env::consts::ARCH.try_into();
        let arch = arch.map_err(|error: seccompiler::BackendError| error.to_string())?;
        let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
            ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
        let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch);
        let filter = filter.map_err(|error| error.to_string())?;
        let program: BpfProgram =
            filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
        seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
    }
}
