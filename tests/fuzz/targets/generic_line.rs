//! The short way of a bulk line makes the same of it as the general way, or leaves it alone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::admin::dialect::generic::fuzz;

fuzz_target!(|line: &[u8]| fuzz::line(line));
