//! Work that is cut into pieces: each worker begins with its own and goes on with those that others have left. A worker whose core is
//! busy with something else, or slower than the others, is helped instead of being waited for.
//!
//! ```text
//! worker 0:  ──▶ own pieces, first to last          last to first ◀── helpers
//! worker 1:  ──▶ …
//! ```
//!
//! So the owner reads memory in order until it meets a helper, and nobody needs to count. Who runs a piece changes no bit of what it gives.

use super::team::{Crew, lock};
use std::ops::Range;
use std::sync::Mutex;

/// Pieces of work in order, some for each worker.
#[derive(Debug)]
pub struct Pieces<T> {
    pieces: Vec<T>,
    /// For each worker, the place of its first piece.
    first: Vec<usize>,
}

impl<T> Pieces<T> {
    /// No pieces for `workers` workers.
    pub fn for_workers(workers: usize) -> Pieces<T> {
        Pieces { pieces: Vec::with_capacity(workers), first: Vec::with_capacity(workers) }
    }

    /// A piece for each worker.
    pub fn one_each(pieces: impl Iterator<Item = T>) -> Pieces<T> {
        let pieces: Vec<T> = pieces.collect();
        Pieces { first: (0..pieces.len()).collect(), pieces }
    }

    /// What is pushed from now on is the next worker's; at first, the leader's.
    pub fn next_worker(&mut self) {
        self.first.push(self.pieces.len());
    }

    /// One piece more, after those before it.
    pub fn push(&mut self, piece: T) {
        self.pieces.push(piece);
    }

    /// The places of a worker's pieces.
    fn of(&self, worker: usize) -> Range<usize> {
        let edge = |worker: usize| self.first.get(worker).copied().unwrap_or(self.pieces.len());
        edge(worker)..edge(worker + 1)
    }
}

/// A piece on its way.
enum Piece<T> {
    Left(T),
    /// By the worker that it was cut for: so are all before it.
    Done,
    /// By another one: so are all after it.
    Helped,
}

/// Runs what nobody has begun of a worker's own pieces.
fn work<T>(own: &[Mutex<Piece<T>>], mut job: impl FnMut(T)) {
    for piece in own {
        match take(piece, Piece::Done) {
            Piece::Left(piece) => job(piece),
            Piece::Done | Piece::Helped => break,
        }
    }
}

/// Runs what nobody has begun of another worker's pieces.
fn help<T>(others: &[Mutex<Piece<T>>], mut job: impl FnMut(T)) {
    for piece in others.iter().rev() {
        match take(piece, Piece::Helped) {
            Piece::Left(piece) => job(piece),
            Piece::Helped => {}
            Piece::Done => break,
        }
    }
}

/// What was there; where it was left, it is `taken` now.
fn take<T>(piece: &Mutex<Piece<T>>, taken: Piece<T>) -> Piece<T> {
    let mut piece = lock(piece);
    match &*piece {
        Piece::Left(_) => std::mem::replace(&mut piece, taken),
        Piece::Done => Piece::Done,
        Piece::Helped => Piece::Helped,
    }
}

impl Crew<'_> {
    /// Runs `job(state, piece)` for each piece, with the state of the worker that runs it. What is one worker's alone, the caller runs
    /// without the team.
    ///
    /// # Panics
    /// Where there are fewer states than threads, or more workers' pieces; with the panic of a job.
    pub fn each<S: Send, T: Send>(&mut self, states: &mut [S], pieces: Pieces<T>, job: impl Fn(&mut S, T) + Sync) {
        let (threads, owners) = (self.threads(), pieces.first.len());
        if owners <= 1 {
            return pieces.pieces.into_iter().for_each(|piece| job(&mut states[0], piece));
        }
        assert!(owners <= threads && threads <= states.len(), "{owners} workers' pieces, {} states, {threads} threads", states.len());
        if pieces.pieces.len() <= owners {
            self.each_one(states, pieces, job);
        } else {
            self.each_and_help(states, pieces, job);
        }
    }

    /// With a piece for each worker at most there is nothing to help with: who has not begun is stood in for by the leader. What a worker
    /// needs lies together, as it is fetched from the leader's cache.
    fn each_one<S: Send, T: Send>(&mut self, states: &mut [S], pieces: Pieces<T>, job: impl Fn(&mut S, T) + Sync) {
        let parts = states.iter_mut().zip(pieces.pieces);
        let parts: Vec<_> = parts.map(|part| Mutex::new(Some(part))).collect();
        self.run(&|worker| {
            let part = parts.get(worker).and_then(|part| lock(part).take());
            if let Some((state, piece)) = part {
                job(state, piece);
            }
        });
    }

    fn each_and_help<S: Send, T: Send>(&mut self, states: &mut [S], pieces: Pieces<T>, job: impl Fn(&mut S, T) + Sync) {
        let states: Vec<_> = states.iter_mut().enumerate().map(|(worker, state)| (Mutex::new(state), pieces.of(worker))).collect();
        let pieces: Vec<_> = pieces.pieces.into_iter().map(|piece| Mutex::new(Piece::Left(piece))).collect();
        self.run(&|worker| {
            let (state, own) = &states[worker];
            let state = &mut **lock(state);
            work(&pieces[own.clone()], |piece| job(state, piece));
            for (_, others) in states[worker + 1..].iter().chain(&states[..worker]) {
                help(&pieces[others.clone()], |piece| job(state, piece));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Team;
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    proptest! {
        #[test]
        fn every_piece_is_run_once(counts in proptest::collection::vec(0usize..6, 1..5), slow in 0usize..5) {
            let team = Team::new(counts.len()).unwrap();
            let (mut pieces, mut all) = (Pieces::for_workers(counts.len()), vec![0; counts.iter().sum()]);
            let mut rest = all.iter_mut();
            for (worker, &count) in counts.iter().enumerate() {
                pieces.next_worker();
                rest.by_ref().take(count).for_each(|one| pieces.push((worker, one)));
            }
            let mut ran = vec![0; counts.len()];
            team.gather().each(&mut ran, pieces, |ran, (worker, one)| {
                if worker == slow {
                    std::thread::sleep(Duration::from_micros(50));
                }
                *one += 1;
                *ran += 1;
            });
            prop_assert!(all.iter().all(|&times| times == 1));
            prop_assert_eq!(ran.iter().sum::<usize>(), all.len());
        }
    }

    #[test]
    fn a_worker_that_is_held_up_keeps_what_it_has_begun_and_others_do_the_rest() {
        let team = Team::new(2).unwrap();
        let mut pieces = Pieces::for_workers(2);
        for own in [[0, 1, 2], [3, 4, 5]] {
            pieces.next_worker();
            own.into_iter().for_each(|piece| pieces.push(piece));
        }
        let (mut ran, done) = (vec![0; 2], AtomicUsize::new(0));
        team.gather().each(&mut ran, pieces, |ran, piece| {
            while piece == 0 && done.load(Ordering::Relaxed) < 5 {
                std::thread::yield_now();
            }
            done.fetch_add(1, Ordering::Relaxed);
            *ran += 1;
        });
        assert_eq!(ran.iter().sum::<usize>(), 6);
    }

    #[test]
    fn each_worker_gets_its_own_piece_and_state() {
        let team = Team::new(2).unwrap();
        let (mut values, mut states) = (vec![0; 10], [1, 2]);
        team.gather().each(&mut states, Pieces::one_each(values.chunks_mut(5)), |state, piece| piece.fill(*state));
        assert_eq!(values, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    }
}
