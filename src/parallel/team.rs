//! Workers that take each step of a forward pass together. A step is published by one atomic store and joined by one counter,
//! so that a crossing costs a fraction of a microsecond; who waits spins briefly, then yields, then sleeps, so that an idle team
//! burns nothing and a descheduled worker is waited for without starving it.
//!
//! ```text
//! leader:  job ← closure; epoch += 1; wake sleepers; run part 0;
//!          run each part that its worker has not begun yet; wait until pending = 0
//! worker:  wait until epoch changes; claim part i; run it; pending −= 1
//! ```
//!
//! Parts are cut beforehand and it does not matter who runs them, so a part whose worker is not on a core (a busy neighbour, more threads
//! than cores) is taken over by the leader instead of being waited for.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Spins of a waiter before it yields, about 20 µs: longer than the gap between two steps of a decode.
const SPINS: u32 = 1 << 10;
/// Spins of a leader before it looks for parts that nobody began: a few microseconds.
const PATIENCE: u32 = 1 << 6;
/// Yields of an idle worker before it sleeps, about a millisecond: longer than sampling a token takes.
const YIELDS: u32 = 1 << 11;

type Job<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// Valid while `pending > 0`.
    job: UnsafeCell<Option<*const Job<'static>>>,
    /// Grows by one with each published job.
    epoch: AtomicU64,
    /// For each worker's part, the last epoch in which somebody began it: in each epoch it is claimed once.
    claims: Vec<AtomicU64>,
    /// Parts of the current job that are not finished, the leader's own aside.
    pending: AtomicUsize,
    /// One flag for each worker that sleeps.
    asleep: Vec<AtomicBool>,
    quit: AtomicBool,
    /// What the first worker that panicked left.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Spins before yielding: none where threads outnumber the cores.
    spins: u32,
}

// SAFETY: `job` is written by the leader only while no part is unfinished (`pending == 0`, and the crew's lock makes the leader unique) and
// read by a worker only after it claimed its part in the `epoch` that was stored, with release order, after the write.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only followed under the protocol above, and the closure behind it is `Sync`.
unsafe impl Send for Shared {}

impl Shared {
    /// Whether the caller is the one to run part `part` of the job of `epoch`. Every part is claimed once in every epoch, so a claim of an
    /// earlier epoch than the current one always fails.
    fn claim(&self, part: usize, epoch: u64) -> bool {
        self.claims[part - 1].compare_exchange(epoch - 1, epoch, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Counts a claimed part as done and keeps the first panic.
    fn finish(&self, result: std::thread::Result<()>) {
        if let Err(panic) = result {
            lock(&self.panic).get_or_insert(panic);
        }
        self.pending.fetch_sub(1, Ordering::Release);
    }
}

/// A fixed number of threads that work on one step at a time.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<Thread>,
    handles: Vec<JoinHandle<()>>,
    /// Held by the thread that leads the team through a forward pass.
    lead: Mutex<()>,
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({} threads)", self.threads())
    }
}

impl Team {
    /// A team of `threads` (at least 1) of which the caller of [`Team::gather`] is one.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    pub fn new(threads: usize) -> std::io::Result<Team> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            epoch: AtomicU64::new(0),
            claims: (1..threads).map(|_| AtomicU64::new(0)).collect(),
            pending: AtomicUsize::new(0),
            asleep: (1..threads).map(|_| AtomicBool::new(false)).collect(),
            quit: AtomicBool::new(false),
            panic: Mutex::new(None),
            spins: if threads > cores { 0 } else { SPINS },
        });
        let mut team = Team { shared, workers: Vec::new(), handles: Vec::new(), lead: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&team.shared);
            let handle = thread::Builder::new().name(format!("kinglet-{index}")).spawn(move || work(&shared, index))?;
            team.workers.push(handle.thread().clone());
            team.handles.push(handle);
        }
        Ok(team)
    }

    /// Threads, the leader included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Waits until no one else leads the team, and leads it.
    pub fn gather(&self) -> Crew<'_> {
        Crew { team: self, _lead: lock(&self.lead), crossings: None }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.workers.iter().for_each(Thread::unpark);
        for handle in self.handles.drain(..) {
            // A worker catches every panic of a job, so that it ends in order.
            let _ = handle.join();
        }
    }
}

/// The team, led by this thread until dropped.
#[derive(Debug)]
pub struct Crew<'a> {
    team: &'a Team,
    _lead: MutexGuard<'a, ()>,
    /// Counted where somebody wants to know.
    crossings: Option<Crossings>,
}

/// Crossings of the team and how they went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crossings {
    /// How many.
    pub count: u64,
    /// The leader's time from publishing a job until all its parts were done.
    pub time: Duration,
    /// Time in which parts were run, of all threads together: what it is less than `threads × time` was spent waiting.
    pub busy: Duration,
}

impl std::ops::Add for Crossings {
    type Output = Crossings;

    fn add(self, other: Crossings) -> Crossings {
        Crossings { count: self.count + other.count, time: self.time + other.time, busy: self.busy + other.busy }
    }
}

impl Crew<'_> {
    /// Threads, the leader included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Runs `job(i)` for each `i` in `0..threads()`, at the same time where cores are free, and returns when all are done.
    ///
    /// # Panics
    /// With the panic of a job, after all workers have finished.
    pub fn run(&mut self, job: &Job<'_>) {
        let Some(crossings) = self.crossings else { return self.cross(job) };
        let (begin, busy) = (Instant::now(), AtomicU64::new(0));
        self.cross(&|part| {
            let begin = Instant::now();
            job(part);
            busy.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        });
        let this = Crossings { count: 1, time: begin.elapsed(), busy: Duration::from_nanos(busy.into_inner()) };
        self.crossings = Some(crossings + this);
    }

    /// Counts and times crossings from now on.
    pub fn measure(&mut self) {
        self.crossings = Some(Crossings::default());
    }

    /// The crossings since the last call, where they are counted.
    pub fn measured(&mut self) -> Crossings {
        self.crossings.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn cross(&mut self, job: &Job<'_>) {
        let shared = &*self.team.shared;
        if self.team.workers.is_empty() {
            return job(0);
        }
        // SAFETY: only the lifetime changes. Workers follow the pointer only while `pending > 0`, and this function does not return
        // (or unwind) before `pending` is 0 again.
        let forever = unsafe { std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
        // SAFETY: no worker reads `job` now: the last job's `pending` reached 0 before its `run` returned, and `&mut self` with the
        // team's lock makes this the only leader.
        unsafe { *shared.job.get() = Some(forever) };
        shared.pending.store(self.team.workers.len(), Ordering::Relaxed);
        let epoch = shared.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        for (worker, asleep) in self.team.workers.iter().zip(&shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                worker.unpark();
            }
        }
        let mine = catch_unwind(AssertUnwindSafe(|| job(0)));
        let done = || shared.pending.load(Ordering::Acquire) == 0;
        // A claim, in vain too, takes the line of claims from its worker, which then begins the next job later.
        if !wait(shared.spins.min(PATIENCE), 0, done) {
            for part in 1..self.team.threads() {
                if shared.claim(part, epoch) {
                    shared.finish(catch_unwind(AssertUnwindSafe(|| job(part))));
                }
            }
            wait(shared.spins, u32::MAX, done);
        }
        let theirs = lock(&shared.panic).take();
        if let Some(panic) = mine.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

/// The lock, poisoned or not: a panic reaches the caller by way of the leader, and no later job sees what it left.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `ready`, spinning first, then yielding; false where it gave up after `yields`.
fn wait(spins: u32, yields: u32, ready: impl Fn() -> bool) -> bool {
    for _ in 0..spins {
        if ready() {
            return true;
        }
        std::hint::spin_loop();
    }
    let mut left = yields;
    while !ready() {
        if left == 0 {
            return false;
        }
        left = if yields == u32::MAX { left } else { left - 1 };
        thread::yield_now();
    }
    true
}

/// What each worker does until the team is dropped.
fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        let called = || shared.epoch.load(Ordering::SeqCst) != seen || shared.quit.load(Ordering::SeqCst);
        if !wait(shared.spins, YIELDS, called) {
            let asleep = &shared.asleep[index - 1];
            asleep.store(true, Ordering::SeqCst);
            // The leader stores the epoch before it looks at the flag, so one of the two sees the other's store.
            while !called() {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
        }
        if shared.quit.load(Ordering::SeqCst) {
            return;
        }
        seen = shared.epoch.load(Ordering::SeqCst);
        if shared.claim(index, seen) {
            // SAFETY: the job of epoch `seen` was written before the epoch was stored, and the leader keeps it alive and unchanged until
            // the part that was just claimed is finished.
            let job = unsafe { &*(*shared.job.get()).expect("a published epoch has a job") };
            shared.finish(catch_unwind(AssertUnwindSafe(|| job(index))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_takes_every_step() {
        for threads in 1..=5 {
            let team = Team::new(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let mut crew = team.gather();
            for step in 1..=2000 {
                crew.run(&|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == step));
            }
        }
    }

    /// `steps` crossings in which parts take anything from nothing to a nap, and now and then one panics.
    fn stress(threads: usize, steps: u64) {
        let team = Team::new(threads).unwrap();
        let counts: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
        for step in 1..=steps {
            // The lower bits of a multiplicative hash are not random; these are.
            let random = |i: usize| (step.wrapping_mul(31).wrapping_add(i as u64)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.gather().run(&|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                    match random(i) {
                        // A panic that prints nothing.
                        0 => resume_unwind(Box::new("a part fell")),
                        1..3 => thread::sleep(Duration::from_micros(200)),
                        3..40 => thread::yield_now(),
                        n if n < 4000 => (0..n % 512).for_each(|_| std::hint::spin_loop()),
                        _ => (),
                    }
                });
            }));
            assert_eq!(result.is_err(), (0..threads).any(|i| random(i) == 0), "step {step}");
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == step), "step {step}");
        }
    }

    #[test]
    fn delays_and_panics_at_random_break_no_crossing() {
        for threads in [2, 3, 8] {
            stress(threads, 20_000);
        }
    }

    #[test]
    #[ignore = "minutes: a hundred million crossings"]
    fn a_hundred_million_crossings_break_nothing() {
        stress(2, 100_000_000);
    }

    #[test]
    fn sleeping_workers_are_woken() {
        let team = Team::new(3).unwrap();
        for _ in 0..5 {
            thread::sleep(std::time::Duration::from_millis(20));
            let hits = AtomicUsize::new(0);
            team.gather().run(&|_| {
                hits.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(hits.into_inner(), 3);
        }
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_next_step_works() {
        let team = Team::new(3).unwrap();
        for culprit in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| team.gather().run(&|i| assert!(i != culprit, "worker {i} fell"))));
            assert!(result.is_err());
            let sum = AtomicUsize::new(0);
            team.gather().run(&|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 3);
        }
    }

    #[test]
    fn several_leaders_take_turns() {
        let team = Team::new(2).unwrap();
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        team.gather().run(&|_| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 200 * 2);
    }
}
