//! The layers of Linux.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::process;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

use super::Layers;
use crate::launch::Rules;

/// The version of Landlock that is requested; an older kernel gets an older one.
const ABI_WANTED: ABI = ABI::V6;

/// Where the dynamic loader finds the libraries of an interpreter.
const LIBRARIES: [&str; 6] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
];

const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

impl Layers {
    /// Applies all layers without any right but to print.
    pub(crate) fn try_all() -> Self {
        Self::apply(&Rules::default())
    }

    /// Applies every available layer to this process.
    pub(crate) fn apply(rules: &Rules) -> Self {
        // Namespaces come before seccomp, which forbids the calls that create them.
        let namespaces = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        let namespaces = unshare(namespaces).is_ok();
        // If the parent is killed, nobody waits for this process.
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        let limits = limit(rules).is_ok();
        let landlock = restrict_files(rules).unwrap_or(0);
        let seccomp = restrict_calls().is_ok();
        Self {
            landlock,
            seccomp,
            namespaces,
            limits,
        }
    }
}

fn limit(rules: &Rules) -> Result<(), Errno> {
    let limits = &rules.limits;
    for (resource, limit) in [
        (Resource::RLIMIT_AS, limits.memory_bytes),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    // The first signal can be caught, the second cannot.
    setrlimit(Resource::RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1)
}

/// The version of Landlock that is in force, or 0.
fn restrict_files(rules: &Rules) -> Result<i32, RulesetError> {
    let all = AccessFs::from_all(ABI_WANTED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let execute = AccessFs::ReadFile | AccessFs::Execute;
    // Plain files only: other kinds of entries are harder to remove.
    let write =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let status = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::from_all(ABI_WANTED))?
        .scope(Scope::from_all(ABI_WANTED))?
        .create()?
        .add_rules(path_beneath_rules(LIBRARIES, read))?
        .add_rules(path_beneath_rules(LOADERS, execute))?
        .add_rules(path_beneath_rules(["/dev/null"], device))?
        .add_rules(path_beneath_rules(["/dev/urandom"], read))?
        .add_rules(path_beneath_rules(&rules.read, read))?
        .add_rules(path_beneath_rules(&rules.execute, execute))?
        .add_rules(path_beneath_rules(&rules.write, write))?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            effective_abi.min(ABI_WANTED) as i32
        }
        _ => 0,
    })
}

/// Calls that are not on the list fail as if the kernel did not have them, so that libraries fall
/// back to older calls that are.
fn restrict_calls() -> Result<(), seccompiler::Error> {
    let filter = SeccompFilter::new(
        allowed_calls()?,
        SeccompAction::Errno(libc::ENOSYS as u32),
        SeccompAction::Allow,
        ARCH.try_into()?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

fn allowed_calls() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let plain = PLAIN_CALLS.iter().chain(OLD_CALLS);
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> =
        plain.map(|call| (*call, Vec::new())).collect();
    let own = u64::from(process::id());
    let conditional = [
        // Exec keeps the process id, and no process can be created.
        (libc::SYS_kill, argument(0, &[own])?),
        (libc::SYS_tgkill, argument(0, &[own])?),
        (libc::SYS_prlimit64, argument(0, &[0])?),
        // No command that requests signals to another process.
        (libc::SYS_fcntl, argument(1, &FILE_COMMANDS)?),
        (libc::SYS_ioctl, argument(1, &[FIOCLEX, FIONCLEX, TCGETS])?),
    ];
    calls.extend(conditional);
    // Old kernels let a reader of a file truncate it.
    calls.insert(libc::SYS_openat, open_flags(2)?);
    #[cfg(target_arch = "x86_64")]
    calls.insert(libc::SYS_open, open_flags(1)?);
    Ok(calls)
}

/// Allows the call if its argument is one of these.
fn argument(index: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |value: &u64| is(index, SeccompCmpOp::Eq, *value);
    values.iter().map(rule).collect()
}

fn is(index: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let length = SeccompCmpArgLen::Dword;
    SeccompRule::new(vec![SeccompCondition::new(index, length, how, value)?])
}

fn open_flags(index: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let [truncate, write, both, how] =
        [libc::O_TRUNC, libc::O_WRONLY, libc::O_RDWR, libc::O_ACCMODE].map(|flag| flag as u64);
    Ok(vec![
        is(index, SeccompCmpOp::MaskedEq(truncate), 0)?,
        is(index, SeccompCmpOp::MaskedEq(how), write)?,
        is(index, SeccompCmpOp::MaskedEq(how), both)?,
    ])
}

const FIOCLEX: u64 = 0x5451;
const FIONCLEX: u64 = 0x5450;
const TCGETS: u64 = 0x5401;

const FILE_COMMANDS: [u64; 6] = [
    libc::F_DUPFD as u64,
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
];

/// Calls that an interpreter needs to start, to compute and to use files.
const PLAIN_CALLS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setitimer,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[i64] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];

#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[i64] = &[];
