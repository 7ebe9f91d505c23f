//! What one crossing of the team costs (publish a step, run it, join), beside a step's work done by one thread alone.
//!
//! ```sh
//! cargo bench --bench crossing
//! ```

use kinglet::parallel::Team;
use std::hint::black_box;
use std::time::Instant;

const CROSSINGS: u32 = 20_000;

fn work(rounds: u32) {
    (0..rounds).for_each(|round| {
        black_box(round);
    });
}

/// Microseconds of one call.
fn time(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..CROSSINGS).for_each(|_| call());
    start.elapsed().as_secs_f64() / f64::from(CROSSINGS) * 1e6
}

fn main() {
    println!("threads  work µs  crossing µs, work included");
    for threads in [1, 2, 4] {
        let team = Team::new(threads).expect("threads start");
        let mut crew = team.gather();
        for rounds in [0, 300, 3000] {
            let (alone, crossing) = (time(|| work(rounds)), time(|| crew.run(&|_| work(rounds))));
            println!("{threads:7} {alone:8.2} {crossing:12.2}");
        }
    }
}
