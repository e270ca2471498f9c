//! The cost of choosing a route and of changing one, by the size of the table.
//!
//! Requests go to all routes in random order, so large tables pay for the caches that they miss; or
//! to 64 of them, spread over the table, as many as are busy at a time: these stay in the caches.
//! Before the measurements stands the memory per route of the largest table.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway::allocator::Allocator;
use ringway::model;
use ringway::table::{Change, Fields, Question, Table};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const SIZES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];

/// Requests that one round makes; more than the caches remember of a large table.
const REQUESTS: usize = 65_536;

/// Routes that are asked for where it is not all of them.
const BUSY: usize = 64;

/// The size of pages in `/proc/self/statm`.
const PAGE_BYTES: usize = 4_096;

struct NoFields;

impl Fields for NoFields {
    fn any(&self, _name: &[u8], _accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// How the routes of a table look.
#[derive(Clone, Copy)]
enum Shape {
    /// Literal prefixes without a host.
    Prefix,
    /// One in three each: a literal prefix, a template, a prefix on a host of its own.
    Mixed,
}

/// Hosts and paths of requests, one after the other in memory.
struct Requests {
    text: String,
    ends: Vec<(usize, usize)>,
}

impl Shape {
    fn kind(self, index: usize) -> usize {
        match self {
            Self::Prefix => 0,
            Self::Mixed => index % 3,
        }
    }

    fn route(self, index: usize) -> model::Route {
        let matched = match self.kind(index) {
            0 => format!(r#""path_prefix": "/r/{index:06}/""#),
            1 => format!(r#""path_template": "/u/{index:06}/{{id}}""#),
            _ => format!(r#""host": "t{index}.example.com", "path_prefix": "/api""#),
        };
        let upstream = index % 100;
        let text = format!(r#"{{"id": "route-{index}", {matched}, "upstream": "u{upstream}"}}"#);
        serde_json::from_str(&text).expect("a valid route")
    }

    fn request(self, index: usize) -> (String, String) {
        match self.kind(index) {
            0 => ("www.example.com".into(), format!("/r/{index:06}/item")),
            1 => ("www.example.com".into(), format!("/u/{index:06}/item")),
            _ => (format!("t{index}.example.com"), "/api/item".into()),
        }
    }

    fn table(self, size: usize) -> Table {
        let routes = (0..size).map(|index| self.route(index)).collect::<Vec<_>>();
        let upstreams = (0..100).map(|index| {
            let text = format!(
                r#"{{"name": "u{index}", "servers": [{{"address": "127.0.0.1", "port": 80}}]}}"#
            );
            serde_json::from_str(&text).expect("a valid upstream")
        });
        let upstreams = upstreams.collect::<Vec<_>>();
        Table::compile(&routes, &upstreams).expect("a valid table")
    }
}

impl Requests {
    /// For `asked` routes of a table of `size`, spread over it.
    fn new(shape: Shape, size: usize, asked: usize) -> Self {
        let mut requests = Self {
            text: String::new(),
            ends: Vec::new(),
        };
        let mut random = 1_u64;
        for _ in 0..REQUESTS {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let (host, path) = shape.request((random >> 33) as usize % asked * (size / asked));
            requests.text += &host;
            let host_end = requests.text.len();
            requests.text += &path;
            requests.ends.push((host_end, requests.text.len()));
        }
        requests
    }

    /// Calls `each` with the host and the path of each request.
    fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) {
        let mut rest = self.text.as_bytes();
        let mut start = 0;
        for (host_end, path_end) in &self.ends {
            let (host, after) = rest.split_at(host_end - start);
            let (path, after) = after.split_at(path_end - host_end);
            each(host, path);
            rest = after;
            start = *path_end;
        }
    }
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number of statm") * PAGE_BYTES
}

fn memory(_: &mut Criterion) {
    let size = 1_000_000;
    let routes = Shape::Prefix;
    drop(routes.table(1_000));
    let declared = (0..size)
        .map(|index| routes.route(index))
        .collect::<Vec<_>>();
    let upstreams = (0..100).map(|index| {
        let text = format!(
            r#"{{"name": "u{index}", "servers": [{{"address": "127.0.0.1", "port": 80}}]}}"#
        );
        serde_json::from_str(&text).expect("a valid upstream")
    });
    let upstreams = upstreams.collect::<Vec<_>>();
    let before = resident_bytes();
    let start = std::time::Instant::now();
    let table = Table::compile(&declared, &upstreams).expect("a valid table");
    let took = start.elapsed();
    let bytes = resident_bytes().saturating_sub(before) / size;
    println!(
        "{} routes: compiled in {took:?}, {bytes} bytes each",
        table.route_count()
    );
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup of 65536");
    for (name, shape, most) in [
        ("prefix", Shape::Prefix, usize::MAX),
        ("mixed", Shape::Mixed, usize::MAX),
        ("prefix, few are busy", Shape::Prefix, BUSY),
        ("mixed, few are busy", Shape::Mixed, BUSY),
    ] {
        for size in SIZES {
            let table = shape.table(size);
            let requests = Requests::new(shape, size, size.min(most));
            group.throughput(criterion::Throughput::Elements(REQUESTS as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    requests.for_each(|host, path| {
                        let question = Question {
                            host,
                            path,
                            query: b"",
                            method: b"GET",
                            fields: &NoFields,
                        };
                        let found = table.find(&question).expect("each request has a route");
                        black_box(found.route.upstream());
                    });
                });
            });
        }
    }
    group.finish();
}

fn change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change of one route");
    for size in SIZES {
        let table = Shape::Prefix.table(size);
        let mut index = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                index = (index + 7_919) % size;
                let route = Shape::Prefix.route(index).into();
                let change = Change::PutRoute {
                    route,
                    age: index as u64,
                };
                table.change(&[change]).expect("a valid change")
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = memory, lookup, change
}
criterion_main!(benches);
