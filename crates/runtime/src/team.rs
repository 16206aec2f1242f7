//! Threads that walk through a program together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// More threads than this are not made: they would only wait for each other.
const MOST: usize = 64;

/// Looks at a barrier before sleeping: some 50 µs.
const SPINS: usize = 1000;

/// The number of threads to use: 0 stands for those of the machine.
pub fn resolve(threads: usize) -> usize {
    let asked =
        if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
    asked.min(MOST)
}

/// The threads that help one that runs a program. One of each size is shared by all executables.
#[derive(Debug)]
pub struct Team {
    /// All but the one that asks for help.
    helpers: ThreadPool,
    /// Held during a run: a team that waited for itself in two runs would wait forever.
    busy: Mutex<()>,
}

/// The team of this many threads; none for one thread, or if the system gives no more.
pub fn get(threads: usize) -> Option<Arc<Team>> {
    static TEAMS: OnceLock<Mutex<BTreeMap<usize, Arc<Team>>>> = OnceLock::new();
    if threads <= 1 {
        return None;
    }
    let mut teams = TEAMS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(team) = teams.get(&threads) {
        return Some(team.clone());
    }
    let builder = ThreadPoolBuilder::new().num_threads(threads - 1).thread_name(|i| format!("bespoke-{i}"));
    let team = Arc::new(Team { helpers: builder.build().ok()?, busy: Mutex::new(()) });
    teams.insert(threads, team.clone());
    Some(team)
}

impl Team {
    /// Calls `work` once for each thread, at the same time: the calling one begins at once, the others when they have woken up.
    /// The calling thread works alone if the team is busy.
    pub fn run(&self, work: impl Fn(&mut Member<'_>) + Sync) {
        let _busy = match self.busy.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return alone(work),
        };
        let count = self.helpers.current_num_threads() + 1;
        let barrier = Barrier { count, ..Barrier::default() };
        let member = |index: usize| {
            let _guard = Guard(&barrier);
            work(&mut Member { index, count, barrier: Some(&barrier), last: None });
        };
        self.helpers.in_place_scope(|scope| {
            scope.spawn_broadcast(|_, context| member(context.index() + 1));
            member(0);
        });
    }
}

/// Calls `work` on this thread only.
pub fn alone(work: impl Fn(&mut Member<'_>)) {
    work(&mut Member { index: 0, count: 1, barrier: None, last: None });
}

/// Who did what the team has not yet waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    ByFirst,
    ByAll,
}

/// One of the threads of a team. All of them go through the same work in the same order.
pub struct Member<'a> {
    index: usize,
    count: usize,
    barrier: Option<&'a Barrier>,
    last: Option<Done>,
}

impl Member<'_> {
    /// Its number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The number of threads.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Work for the first thread, after all that was done before.
    pub fn first(&mut self, work: impl FnOnce()) {
        if self.last == Some(Done::ByAll) {
            self.wait();
        }
        if self.index == 0 {
            work();
        }
        self.last = Some(Done::ByFirst);
    }

    /// Work for all threads, after all that was done before.
    pub fn all(&mut self, work: impl FnOnce()) {
        self.wait();
        work();
        self.last = Some(Done::ByAll);
    }

    /// Waits until all is done so far.
    pub fn wait(&mut self) {
        if let (Some(barrier), Some(_)) = (self.barrier, self.last.take()) {
            barrier.wait();
        }
    }
}

/// Where threads wait for each other, again and again.
#[derive(Default)]
struct Barrier {
    count: usize,
    arrived: AtomicUsize,
    /// How often all have arrived.
    round: AtomicUsize,
    broken: AtomicBool,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    fn wait(&self) {
        let round = self.round.load(Ordering::SeqCst);
        if self.arrived.fetch_add(1, Ordering::SeqCst) + 1 == self.count {
            self.arrived.store(0, Ordering::SeqCst);
            self.round.fetch_add(1, Ordering::SeqCst);
            // Who counts as a sleeper later than this looks at the round again.
            if self.sleepers.load(Ordering::SeqCst) > 0 {
                self.wake_all();
            }
            return;
        }
        let is_over = || {
            assert!(!self.broken.load(Ordering::SeqCst), "another thread of the team has panicked");
            self.round.load(Ordering::SeqCst) != round
        };
        for _ in 0..SPINS {
            if is_over() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !is_over() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake_all(&self) {
        drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_all();
    }
}

/// Tells the others when its thread panics, so that nobody waits for it.
struct Guard<'a>(&'a Barrier);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::SeqCst);
            self.0.wake_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_order_by_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let counts: Vec<AtomicUsize> = (0..500).map(|_| AtomicUsize::new(0)).collect();
            let work = |member: &mut Member<'_>| {
                let count = member.count();
                for i in 0..counts.len() {
                    let add = || _ = counts[i].fetch_add(1, Ordering::SeqCst);
                    if i % 3 == 0 {
                        member.first(|| {
                            assert!(i == 0 || counts[i - 1].load(Ordering::SeqCst) == count);
                            add();
                        });
                    } else {
                        member.all(|| {
                            assert_eq!(
                                counts[i - 1].load(Ordering::SeqCst),
                                if i % 3 == 1 { 1 } else { count }
                            );
                            add();
                        });
                    }
                }
            };
            match get(threads) {
                Some(team) => team.run(work),
                None => alone(work),
            }
        }
    }

    #[test]
    fn runs_at_the_same_time_do_not_wait_for_each_other() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let team = get(3).unwrap();
                    for _ in 0..200 {
                        team.run(|member| {
                            member.all(|| ());
                            member.first(|| _ = total.fetch_add(1, Ordering::SeqCst));
                            member.wait();
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 1600);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let team = get(2).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            team.run(|member| {
                member.all(|| ());
                assert!(member.index() != 1, "on purpose");
                member.all(|| ());
            });
        }));
        assert!(panicked.is_err());
        team.run(|member| member.all(|| ()));
    }
}
