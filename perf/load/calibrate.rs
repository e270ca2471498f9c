//! How fast this CPU is right now: a run between two probes that differ was disturbed.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

const WORDS: usize = 1 << 17;
const HASH_STEPS: u32 = 200_000;
const PAIRS: u32 = 1_000;
const REPEATS: usize = 5;

/// Nanoseconds per step through 1 MiB of memory and per loopback send and receive of 1 KiB; the
/// best of a few repeats.
pub(crate) fn probe() -> io::Result<Value> {
    let words: Vec<u64> = (0..WORDS as u64)
        .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect();
    let hash = best_of(HASH_STEPS, || {
        let mut x = 88_172_645_463_325_252_u64;
        for _ in 0..HASH_STEPS {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x = x.wrapping_add(words[x as usize % WORDS]);
        }
        black_box(x);
        Ok(())
    })?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut piece = [1; 1024];
    let pair = best_of(2 * PAIRS, || {
        for _ in 0..PAIRS {
            near.write_all(&piece)?;
            far.read_exact(&mut piece)?;
            far.write_all(&piece)?;
            near.read_exact(&mut piece)?;
        }
        Ok(())
    })?;
    Ok(json!({ "hash_ns": hash, "pair_ns": pair }))
}

fn best_of(steps: u32, mut work: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..REPEATS {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(steps));
    }
    Ok(best)
}
