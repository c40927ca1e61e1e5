//! | thread | device thread |
//! |---|---|
//! | started by | `Engine` |
//! | priority | normal |
//! | period | 200 ms, and whenever it is asked for something |
//! | may | open, watch and close devices, which can block; read and decode WAV files |
//! | must not | hold up any other |

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::control::Control;
use crate::device::Backend;
use crate::device::supervisor::{Request, Supervisor};

/// Between two looks at whether devices are well.
pub(crate) const CHECK_EVERY: Duration = Duration::from_millis(200);

/// The body of the thread; returns when nobody can ask any more.
pub(crate) fn run(control: Arc<Control>, backend: Box<dyn Backend>, requests: &Receiver<Request>) {
    let clock = control.clock;
    let mut supervisor = Supervisor::new(control, backend);
    let mut checked = clock.now();
    loop {
        let wait = CHECK_EVERY.saturating_sub(clock.now().saturating_since(checked));
        match requests.recv_timeout(wait) {
            Ok(request) => supervisor.handle(clock.now(), request),
            Err(RecvTimeoutError::Timeout) => {
                checked = clock.now();
                supervisor.check(checked);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
