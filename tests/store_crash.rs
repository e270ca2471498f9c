//! A change that was acknowledged survives the process; what is left behind always loads.
//!
//! A child process commits in a loop and says each commit that was acknowledged. It is killed at
//! random moments; then the store is opened and must hold the state after some commit, whole, and
//! no older than the last acknowledged one. The state after commit `n` follows from `n` alone.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ringway::admin::entity::{Entity, EntityChange, Kind};
use ringway::admin::store::{Opened, Store, StoreError};
use ringway::model;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

/// The variable that makes a test the child: it names the folder.
const CHILD: &str = "RINGWAY_STORE_CHILD";
/// How often each store is killed.
const KILLS: u32 = 50;
/// The ids that are put and removed in turn.
const IDS: u64 = 20;

// --- The state after each commit ---

fn route(id: &str, n: u64) -> Value {
    json!({"id": id, "path": format!("/{n}"), "respond": {"status": 204}})
}

fn put(id: &str, n: u64, age: u64) -> EntityChange {
    EntityChange::Put(Entity {
        kind: Kind::Route,
        id: id.to_owned(),
        revision: n,
        age,
        created_at: 1,
        updated_at: n,
        text: route(id, n).to_string().into(),
    })
}

/// Commit `n`: three changes that only make sense together.
fn changes(n: u64) -> [EntityChange; 3] {
    let removed = format!("r{}", (n + IDS / 2) % IDS);
    [
        put("last", n, 0),
        put(&format!("r{}", n % IDS), n, n),
        EntityChange::Remove {
            kind: Kind::Route,
            id: removed,
            age: n.saturating_sub(IDS / 2),
        },
    ]
}

fn expected(n: u64) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::from([("last".to_owned(), route("last", 0))]);
    for change in (n.saturating_sub(3 * IDS) + 1..=n).flat_map(changes) {
        match change {
            EntityChange::Put(entity) => state.insert(entity.id.clone(), entity.value()),
            EntityChange::Remove { id, .. } => state.remove(&id),
        };
    }
    state
}

/// The number of the commit that `opened` is in the state of; checks that it is, wholly.
fn commit_of(opened: &Opened) -> u64 {
    let state: BTreeMap<String, Value> = opened
        .entities
        .iter()
        .map(|entity| (entity.id.clone(), entity.value()))
        .collect();
    assert_eq!(state.len(), opened.entities.len(), "an id is there twice");
    let path = state
        .get("last")
        .and_then(|last| last["path"].as_str())
        .expect("route last");
    let n = path.trim_start_matches('/').parse().expect("a number");
    assert_eq!(state, expected(n), "the state after commit {n}");
    n
}

// --- A store in a folder ---

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn config(folder: &Path) -> PathBuf {
    folder.join("ringway.json")
}

fn database(folder: &Path) -> PathBuf {
    folder.join("ringway.db")
}

fn declare(folder: &Path, embedded: bool) {
    let mut document = json!({
        "listeners": [{"address": "127.0.0.1", "port": 8080}],
        "routes": [route("last", 0)],
        "dns": {"max_ttl_ms": 5000},
    });
    if embedded {
        document["store"] = json!({"kind": "embedded", "path": database(folder)});
    }
    fs::write(config(folder), document.to_string()).expect("a config");
}

fn open(folder: &Path) -> Result<Opened, StoreError> {
    let config = model::load(&config(folder))
        .expect("the configuration loads")
        .config;
    Store::open(Some(&self::config(folder)), &config)
}

// --- The child ---

fn as_child(work: fn(&Path)) -> bool {
    let folder = std::env::var_os(CHILD);
    folder
        .as_deref()
        .inspect(|folder| work(Path::new(folder)))
        .is_some()
}

fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    // A write beyond the limit is to fail, not to end the process.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().expect("this binary"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, folder).stdout(Stdio::piped());
    command
}

fn commit_for_ever(folder: &Path) {
    let opened = open(folder).expect("the store opens");
    let (first, epoch) = (commit_of(&opened) + 1, opened.epoch + 1);
    let mut store = opened.store;
    for (n, epoch) in (first..).zip(epoch..) {
        store.commit(epoch, &changes(n), false).expect("a commit");
        let mut out = std::io::stdout().lock();
        write!(out, "\nacknowledged {n}\n")
            .and_then(|()| out.flush())
            .expect("a reader");
    }
}

/// Runs a child until `acknowledged` commits and `longer`, kills it, and gives the last commit
/// that it has acknowledged.
fn run_and_kill(test: &str, folder: &Path, acknowledged: u32, longer: Duration) -> Option<u64> {
    let mut child = child(test, folder).spawn().expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut last = None;
    let mut count = 0;
    let number = |line: &str| {
        line.strip_prefix("acknowledged ")
            .and_then(|n| n.parse().ok())
    };
    while count < acknowledged {
        let line = lines.next().expect("the child commits").expect("a line");
        if let Some(n) = number(&line) {
            last = Some(n);
            count += 1;
        }
    }
    // The moment of the kill is to be any; nothing is waited for.
    std::thread::sleep(longer);
    child.kill().expect("SIGKILL");
    last = lines
        .map_while(Result::ok)
        .filter_map(|line| number(&line))
        .last()
        .or(last);
    child.wait().expect("the child ends");
    last
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn kill_again_and_again(test: &str, folder: &Path, mut after: impl FnMut(u32)) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut reached = 0;
    for kill in 0..KILLS {
        let acknowledged = dice.below(6) as u32;
        let longer =
            Duration::from_micros(dice.below(if acknowledged == 0 { 40_000 } else { 4_000 }));
        let last = run_and_kill(test, folder, acknowledged, longer).unwrap_or(reached);
        let opened = open(folder).expect("the store opens after a kill");
        let found = commit_of(&opened);
        assert!(
            found >= last,
            "kill {kill}: commit {last} was acknowledged, {found} is there"
        );
        assert!(
            found <= last + 1,
            "kill {kill}: commit {found} came from nowhere after {last}"
        );
        reached = found;
        drop(opened);
        after(kill);
    }
    assert!(
        reached > u64::from(KILLS),
        "the children have hardly committed: {reached}"
    );
}

// --- Tests ---

#[test]
fn a_killed_file_store_has_lost_nothing() {
    if as_child(commit_for_ever) {
        return;
    }
    let folder = folder("killed-file");
    declare(&folder, false);
    let torn = folder.join(".ringway.json.ringway-new");
    kill_again_and_again("a_killed_file_store_has_lost_nothing", &folder, |kill| {
        // What a crash leaves of the second file: nothing, or any part of it.
        let text = fs::read(config(&folder)).expect("the config");
        let part = text.len() * (kill as usize % 10) / 9;
        fs::write(&torn, &text[..part]).expect("a torn file");
    });
    let text = fs::read_to_string(config(&folder)).expect("the config");
    let document: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    assert!(
        document.keys().eq(["listeners", "routes", "dns"]),
        "keys keep their order: {text}"
    );
}

#[test]
fn a_killed_embedded_store_has_lost_nothing() {
    if as_child(commit_for_ever) {
        return;
    }
    let folder = folder("killed-embedded");
    declare(&folder, true);
    kill_again_and_again("a_killed_embedded_store_has_lost_nothing", &folder, |_| {
        assert!(!folder.join(".ringway.db.ringway-new").exists() || !database(&folder).exists());
    });
}

#[test]
fn a_torn_database_gives_a_whole_state_or_an_error() {
    if as_child(commit_for_ever) {
        return;
    }
    let test = "a_torn_database_gives_a_whole_state_or_an_error";
    let folder = folder("torn-embedded");
    declare(&folder, true);
    let last = run_and_kill(test, &folder, 20, Duration::ZERO).expect("commits");
    let killed = fs::read(database(&folder)).expect("the database");
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut whole = 0;
    for round in 0..60 {
        // The first pages hold the commit slots: a torn write there must fall back.
        let within = if round % 2 == 0 {
            512
        } else {
            killed.len() as u64
        };
        let at = dice.below(within);
        fs::write(database(&folder), &killed).expect("a copy");
        let mut file = OpenOptions::new()
            .write(true)
            .open(database(&folder))
            .expect("the copy");
        if round % 5 == 4 {
            file.set_len(at).expect("cut");
        } else {
            file.seek(SeekFrom::Start(at)).expect("seek");
            let byte = killed[at as usize] ^ (1 << dice.below(8));
            file.write_all(&[byte]).expect("flip");
        }
        drop(file);
        match open(&folder) {
            // Cut to nothing it is a new one, seeded from the file.
            Ok(opened) => {
                let found = commit_of(&opened);
                assert!(
                    found + 1 >= last || at == 0,
                    "flip at {at}: {found} of {last}"
                );
                whole += 1;
            }
            Err(error) => {
                let sentence = error.to_string();
                assert!(
                    sentence.contains("ringway.db"),
                    "it names the file: {sentence}"
                );
            }
        }
    }
    assert!(whole > 0, "not one damaged copy could be opened");
}

#[test]
fn a_full_disk_fails_the_commit_and_nothing_else_in_a_file() {
    if as_child(fill_the_file) {
        return;
    }
    let folder = folder("full-file");
    declare(&folder, false);
    succeed(child(
        "a_full_disk_fails_the_commit_and_nothing_else_in_a_file",
        &folder,
    ));
}

#[test]
fn a_full_disk_fails_the_commit_and_nothing_else_embedded() {
    if as_child(fill_the_database) {
        return;
    }
    let folder = folder("full-embedded");
    declare(&folder, true);
    succeed(child(
        "a_full_disk_fails_the_commit_and_nothing_else_embedded",
        &folder,
    ));
}

#[test]
fn a_file_that_may_not_be_written_is_known_at_the_start() {
    if as_child(refuse) {
        return;
    }
    let folder = folder("read-only");
    declare(&folder, false);
    let mut command = child(
        "a_file_that_may_not_be_written_is_known_at_the_start",
        &folder,
    );
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to root: become nobody.
        command.uid(65_534);
    } else {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
        fs::set_permissions(&folder, mode).expect("a mode");
    }
    succeed(command);
    assert_eq!(
        fs::read_dir(&folder).expect("the folder").count(),
        1,
        "nothing was left there"
    );
}

fn succeed(mut command: Command) {
    let mut child = command.spawn().expect("a child");
    let mut said = String::new();
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut said)
        .expect("its words");
    assert!(child.wait().expect("the child ends").success(), "{said}");
    assert!(said.contains("1 passed"), "the child ran no test: {said}");
}

/// No file of this process may become longer than this; a disk without space does the same.
fn limit_files(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: bytes,
            maximum,
        },
    )
    .expect("a limit");
}

fn fill_the_file(folder: &Path) {
    let mut store = open(folder).expect("the store opens").store;
    store.commit(2, &changes(1), false).expect("there is space");
    let before = fs::read(config(folder)).expect("the config");
    for space in [0, 1, before.len() as u64 / 2] {
        limit_files(Some(space));
        let error = store
            .commit(3, &changes(2), false)
            .expect_err("there is no space");
        assert!(error.to_string().contains("nothing was changed"), "{error}");
    }
    assert_eq!(fs::read(config(folder)).expect("the config"), before);
    assert_eq!(
        fs::read_dir(folder).expect("the folder").count(),
        1,
        "a part is left"
    );
    limit_files(None);
    store
        .commit(3, &changes(2), false)
        .expect("there is space again");
    assert_eq!(commit_of(&open(folder).expect("the store opens")), 2);
}

fn fill_the_database(folder: &Path) {
    let mut store = open(folder).expect("the store opens").store;
    store.commit(2, &changes(1), false).expect("there is space");
    let large: Vec<EntityChange> = (0..20_000).map(|n| put(&format!("x{n}"), n, n)).collect();
    limit_files(Some(
        fs::metadata(database(folder)).expect("the database").len(),
    ));
    for _ in 0..3 {
        store
            .commit(3, &large, false)
            .expect_err("there is no space");
    }
    store
        .commit(3, &changes(2), false)
        .expect("a small change still has space");
    store
        .commit(4, &large, false)
        .expect_err("there is no space");
    limit_files(None);
    store
        .commit(4, &changes(3), false)
        .expect("there is space again");
    drop(store);
    let opened = open(folder).expect("the store opens");
    assert_eq!((commit_of(&opened), opened.epoch), (3, 4));
}

fn refuse(folder: &Path) {
    let opened = open(folder).expect("the store opens");
    assert_eq!(commit_of(&opened), 0);
    let mut store = opened.store;
    let known = store.obstacle().expect("it is known before any change");
    assert!(known.contains("ringway.json"), "{known}");
    let error = store
        .commit(2, &changes(1), false)
        .expect_err("it may not be written");
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    let error = store
        .commit(2, &changes(1), true)
        .expect_err("not by force either");
    assert!(
        error.to_string().contains("ringway.json cannot be written"),
        "{error}"
    );
}
