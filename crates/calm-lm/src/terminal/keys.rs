//! Ctrl-C while the dashboard has the terminal.
//!
//! The dashboard reads every key itself, Ctrl-C among them, which it does not know. Where the
//! system lets us, Ctrl-C goes on to be what it is everywhere else: a signal.

#[cfg(unix)]
pub(super) use self::unix::{let_interrupts_through, remember_terminal, restore_terminal};

#[cfg(not(unix))]
pub(super) fn remember_terminal() {}

#[cfg(not(unix))]
pub(super) fn let_interrupts_through() {}

#[cfg(not(unix))]
pub(super) fn restore_terminal() {}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::Write;
    use std::sync::Mutex;
    use std::thread::sleep;
    use std::time::Duration;

    use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

    /// Mode of the terminal before the dashboard.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    /// The dashboard's thread needs a moment to take the terminal over; it has never needed more.
    const WAITS: u32 = 200;
    const WAIT: Duration = Duration::from_millis(5);

    /// Mouse off, the ordinary screen, and its cursor.
    const ORDINARY: &[u8] =
        b"\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1049l\x1b[?25h";

    fn terminal() -> Option<(File, Termios)> {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .ok()?;
        let mode = tcgetattr(&file).ok()?;
        Some((file, mode))
    }

    /// Remembers the mode that [`restore_terminal`] goes back to.
    pub(in super::super) fn remember_terminal() {
        if let (Some((_, mode)), Ok(mut before)) = (terminal(), BEFORE.lock()) {
            *before = Some(mode);
        }
    }

    /// Once the dashboard has taken the terminal over, Ctrl-C sends its signal again.
    pub(in super::super) fn let_interrupts_through() {
        for _ in 0..WAITS {
            let Some((file, mut mode)) = terminal() else {
                return;
            };
            if !mode.local_flags.contains(LocalFlags::ICANON) {
                mode.local_flags.insert(LocalFlags::ISIG);
                // Without it, the dashboard's own key still stops the run.
                let _ = tcsetattr(&file, SetArg::TCSANOW, &mode);
                return;
            }
            sleep(WAIT);
        }
    }

    /// For a process that ends while the dashboard is shown.
    pub(in super::super) fn restore_terminal() {
        let Ok(mut before) = BEFORE.lock() else {
            return;
        };
        if let (Some(mode), Some((mut file, _))) = (before.take(), terminal()) {
            let _ = file.write_all(ORDINARY);
            let _ = tcsetattr(&file, SetArg::TCSANOW, &mode);
        }
    }
}
