//! Programs that try to escape.

use std::fs;

use crate::{attempt, is_refused};

#[test]
fn no_process_and_no_thread_is_made() {
    is_refused("while True: os.fork()");
    is_refused("import threading\nthreading.Thread(target=print).start()");
    is_refused("import subprocess\nsubprocess.run(['true'])");
    is_refused("os.posix_spawn('/bin/true', ['true'], {})");
    is_refused("os.execv('/bin/sh', ['sh', '-c', 'echo'])");
}

#[test]
fn nothing_outside_can_be_read() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    is_refused(&format!("open({:?})", secret.path()));
    is_refused(&format!("open({manifest:?})"));
    for action in [
        "open('/etc/passwd')",
        "open(os.path.join(os.path.dirname(os.getcwd()), 'job.json'))",
        "os.listdir(os.path.dirname(os.getcwd()))",
        "os.listdir('/')",
        "open(f'/proc/{os.getppid()}/environ')",
        "open('/proc/self/environ')",
        "open('/proc/self/mem', 'r+b')",
        "open('/dev/tty')",
        "os.mkdir('inner')",
        "os.mkfifo('pipe')",
        "os.open('passwd', os.O_RDONLY, dir_fd=os.open('/etc', os.O_PATH))",
        "os.open('job.json', os.O_RDONLY, dir_fd=os.open('..', os.O_PATH))",
        "os.rename('../job.json', 'job')",
        "os.symlink('/etc/passwd', 'link')",
        "os.link('/etc/passwd', 'link')",
        "os.chdir('/')",
    ] {
        is_refused(action);
    }
    if let Some(home) = std::env::home_dir() {
        is_refused(&format!("os.listdir({home:?})"));
    }
}

#[test]
fn nothing_outside_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "as it was").unwrap();
    for action in [
        "open(FILE, 'w')",
        "open(FILE, 'a')",
        "os.open(FILE, os.O_RDONLY | os.O_TRUNC)",
        "os.truncate(FILE, 0)",
        "os.remove(FILE)",
        "os.rename(FILE, 'mine')",
        "os.chmod(FILE, 0)",
        "os.utime(FILE)",
        "open(FILE + '2', 'w')",
        "os.mkdir(FILE + '2')",
        "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
        "open(os.__file__, 'a')",
        "open('/dev/shm/mine', 'w')",
    ] {
        is_refused(&action.replace("FILE", &format!("{:?}", file.display().to_string())));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn there_is_no_network() {
    for family in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"] {
        is_refused(&format!("import socket\nsocket.socket(socket.{family})"));
    }
    is_refused("import socket\nsocket.socketpair()");
    is_refused("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')");
}

#[test]
fn others_get_no_signal_and_are_not_traced() {
    for action in [
        "os.kill(os.getppid(), 9)",
        "os.kill(os.getppid(), 0)",
        "os.kill(1, 9)",
        "os.kill(-1, 9)",
        "os.kill(0, 9)",
        "os.killpg(0, 9)",
        "os.setsid()",
        "os.setpgid(0, 0)",
        "os.nice(-5)",
        "os.pidfd_open(os.getppid())",
        "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
        "import fcntl\nfcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    ] {
        is_refused(action);
    }
    // PTRACE_ATTACH and PTRACE_SEIZE.
    for request in [16, 0x4206] {
        is_refused(&format!(
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n\
             if libc.ptrace({request}, os.getppid(), 0, 0) == -1: raise OSError(ctypes.get_errno())"
        ));
    }
}

/// Asserts that a program passes, and prints nothing: it prints whatever it should not find.
fn assert_finds_nothing(program: &str) {
    let Some(verdict) = attempt(program) else {
        return;
    };
    assert!(
        verdict.is_pass() && verdict.printed.is_empty(),
        "{verdict:?}"
    );
}

/// The parent of this process may have left files open.
#[test]
#[cfg(target_os = "linux")]
fn nothing_is_inherited() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Unlike the file itself, its duplicate stays open after exec.
    let duplicate = nix::unistd::dup(file.as_file()).unwrap();
    assert_finds_nothing(
        "import os, stat\n\
         def double(x):\n\
         \x20   for number in range(3, 1024):\n\
         \x20       try:\n\
         \x20           if stat.S_ISREG(os.fstat(number).st_mode): print(number)\n\
         \x20           if number > 5: os.write(number, b'x')\n\
         \x20       except OSError:\n\
         \x20           pass\n\
         \x20   return 2 * x\n",
    );
    assert_eq!(fs::read(file.path()).unwrap(), b"");
    drop(duplicate);
}

/// The interpreter of the tests runs next to the program.
#[test]
fn other_processes_cannot_be_looked_into() {
    assert_finds_nothing(
        "import os\n\
         def double(x):\n\
         \x20   own = os.getpid()\n\
         \x20   for process in {*range(max(1, own - 30), own + 30), os.getppid()} - {own}:\n\
         \x20       files = [f'fd/{number}' for number in range(10)]\n\
         \x20       for name in ['mem', 'maps', 'environ', 'cmdline', 'cwd', *files]:\n\
         \x20           for use in [open, os.readlink]:\n\
         \x20               try:\n\
         \x20                   print(process, name, use(f'/proc/{process}/{name}'))\n\
         \x20               except OSError:\n\
         \x20                   pass\n\
         \x20   return 2 * x\n",
    );
}

/// System calls without a function in Python.
#[test]
#[cfg(target_os = "linux")]
fn rare_calls_fail() {
    for (call, arguments) in [
        (libc::SYS_bpf, "0, 0, 0"),
        (libc::SYS_clone, "17, 0, 0, 0, 0"),
        (libc::SYS_clone3, "0, 0"),
        (libc::SYS_execveat, "-100, 0, 0, 0, 0"),
        (libc::SYS_fsopen, "b'tmpfs', 0"),
        (libc::SYS_io_uring_setup, "1, bytes(256)"),
        (libc::SYS_keyctl, "0, 0, 0"),
        (libc::SYS_memfd_create, "b'x', 0"),
        (libc::SYS_mount, "0, b'.', b'tmpfs', 0, 0"),
        (libc::SYS_name_to_handle_at, "-100, b'.', 0, 0, 0"),
        (libc::SYS_openat2, "-100, b'/', bytes(64), 24"),
        (libc::SYS_perf_event_open, "bytes(256), 0, -1, -1, 0"),
        (libc::SYS_pidfd_getfd, "0, 0, 0"),
        (libc::SYS_pidfd_send_signal, "0, 9, 0, 0"),
        (libc::SYS_prctl, "1, 0"),
        (libc::SYS_process_vm_readv, "os.getppid(), 0, 0, 0, 0, 0"),
        (libc::SYS_process_vm_writev, "os.getppid(), 0, 0, 0, 0, 0"),
        (libc::SYS_rt_sigqueueinfo, "os.getppid(), 9, 0"),
        (libc::SYS_setns, "0, 0"),
        (libc::SYS_shmget, "1, 4096, 0o1600"),
        (libc::SYS_unshare, "0x10000000"),
        (libc::SYS_userfaultfd, "1"),
    ] {
        is_refused(&format!(
            "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n\
             if libc.syscall({call}, {arguments}) == -1 and ctypes.get_errno() == errno.ENOSYS:\n\
             \x20   raise OSError"
        ));
    }
}
