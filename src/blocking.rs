//! Work that holds up its thread, done on threads for such work.

use std::any::Any;

/// Begins the work on another thread, and waits for its result. If nobody waits any more, it is not begun.
///
/// All work and all results go through tasks of one type, so the program has the code of such a task once.
pub fn unblock<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> = Box::new(|| Box::new(work()));
    let task = smol::unblock(work);
    async { *task.await.downcast().expect("it is the result of this work") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_that_of_the_work() {
        let text = String::from("abc");
        assert_eq!(smol::block_on(unblock(move || text.len())), 3);
    }
}
