//! What the code under test logs in the thread of a test.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// The lines that this thread has logged; none if nobody listens.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct ThreadLog;

impl log::Log for ThreadLog {
    fn enabled(&self, _: &log::Metadata) -> bool {
        LINES.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(format!("{} {}", record.level(), record.args()));
            }
        });
    }

    fn flush(&self) {}
}

/// What an action returns, and the lines that it logs in this thread, each with its level in front.
pub fn logged<T>(action: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&ThreadLog).expect("no other logger is set");
        log::set_max_level(log::LevelFilter::Info);
    });
    LINES.set(Some(Vec::new()));
    let result = action();
    (result, LINES.take().unwrap_or_default())
}
