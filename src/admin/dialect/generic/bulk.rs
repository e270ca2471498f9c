//! Bulk: many entities in one request, a line each, answered line by line in the same order.
//!
//! Lines are read as they come and written in batches, each one commit and one epoch. While one
//! batch is on its way the next gathers, up to a bound; an answer that is not taken stops the
//! reading. What has no answer when the client goes away is not begun any more.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Call;
use super::access::Flag;
use super::batch::{Asked, BatchWrite, LINE_BYTES_MAX, LineFault, LineResult, Lines, Verb};
use super::catalogue;
use super::fault::Fault;
use super::media::BodyType;
use crate::admin::audit::Action;
use crate::admin::commit::{Operation, Write, Writer};
use crate::admin::condition::Conditions;
use crate::admin::core::Core;
use crate::admin::listener;
use crate::admin::payload::Payload;
use crate::admin::request::{self, Answer, Request, read_body};
use crate::wire::ndjson::Splitter;

/// Lines of a batch.
const BATCH_LINES_MAX: usize = 16_384;
/// Bytes of a batch; a line more may come on top.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Batches under way at one time, at the most.
const GROUP_MAX: u64 = 9;
/// How long a client may send nothing.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// Pieces of the answer that wait to be taken.
const ANSWERS_WAITING_MAX: usize = 2;

/// Answers a request with lines; what is wrong with the whole of it is said at once.
pub(in crate::admin) async fn answer(core: &Rc<Core>, request: &Request, body: Incoming) -> Answer {
    match begin(core, request, body).await {
        Ok(answer) => answer,
        Err(fault) => {
            let style = Call::of(core, request).style(false);
            let style = style.unwrap_or_else(|_| super::Style::plain());
            super::answer::fault(&fault, &style)
        }
    }
}

async fn begin(core: &Rc<Core>, request: &Request, body: Incoming) -> Result<Answer, Fault> {
    let call = Call::of(core, request);
    let field = request
        .fields
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if field.and_then(BodyType::read) != Some(BodyType::Ndjson) {
        return Err(Fault::bad_content_type());
    }
    let segments: Vec<&str> = request.path().split('/').collect();
    let resource = match segments.as_slice() {
        ["", "apis", group, version, entity, "_bulk"] => catalogue::find(group, version, entity),
        _ => None,
    };
    let resource = resource.ok_or_else(|| Fault::not_found("resource not found"))?;
    let (verb, flag) = match request.method {
        Method::POST => (Verb::Create, Flag::Create),
        Method::PUT => (Verb::Update, Flag::Update),
        Method::PATCH => (Verb::Patch, Flag::Update),
        Method::DELETE => (Verb::Delete, Flag::Delete),
        _ => return Err(Fault::method_not_allowed()),
    };
    call.allow(resource, Flag::Bulk)?;
    call.allow(resource, flag)?;
    let wishes = request.wishes()?;
    let group = request.number("_group")?.unwrap_or(1).clamp(1, GROUP_MAX);
    let action = Action::of(verb.word(), &resource.audit_name(false));
    let stream = Stream {
        core: core.clone(),
        asked: Rc::new(Asked {
            resource,
            verb,
            rights: call.rights.clone(),
            servers: RefCell::default(),
        }),
        by: Writer {
            action: Some(action),
            ..request.writer()
        },
        wait: wishes.wait,
        dry_run: wishes.dry_run,
        force: wishes.force,
    };
    let (answers, payload) = mpsc::channel(ANSWERS_WAITING_MAX);
    if request.flag("atomic")? {
        let most = core.state.borrow().config.admin.limits.max_body_bytes as usize;
        let body = read_body(body, most, listener::within(core)).await?;
        tokio::task::spawn_local(stream.atomic(body, answers));
    } else {
        tokio::task::spawn_local(stream.run(body, group as usize, answers));
    }
    let mut answer = request::answer(200, "application/x-ndjson", Payload::Stream(payload));
    super::answer::add_fields(&mut answer, &call, Some(resource), "-1");
    Ok(answer)
}

/// A request under way.
struct Stream {
    core: Rc<Core>,
    asked: Rc<Asked>,
    by: Writer,
    wait: Duration,
    dry_run: bool,
    force: bool,
}

/// A batch under way; the permit is given back when its answer has been taken.
type Pending = (JoinHandle<Bytes>, OwnedSemaphorePermit);

impl Stream {
    /// Reads until the end, or until the client is gone.
    async fn run(self, mut body: Incoming, group: usize, answers: mpsc::Sender<Bytes>) {
        let this = Rc::new(self);
        let permits = Arc::new(Semaphore::new(group));
        let (pending, batches) = mpsc::channel::<Pending>(group);
        tokio::task::spawn_local(pass_on(batches, answers.clone()));
        let mut splitter = Splitter::new(LINE_BYTES_MAX);
        let mut batch = Lines::default();
        let mut ended = false;
        loop {
            while !is_full(&batch)
                && let Some(line) = splitter.next_line()
            {
                batch.add(line.number, line.text);
            }
            if ended && batch.len() == 0 {
                return;
            }
            tokio::select! {
                biased;
                () = answers.closed() => return,
                permit = permits.clone().acquire_owned(), if batch.len() > 0 => {
                    let Ok(permit) = permit else { return };
                    let lines = std::mem::take(&mut batch);
                    let done = tokio::task::spawn_local(this.clone().commit(lines, false));
                    if pending.send((done, permit)).await.is_err() {
                        return;
                    }
                }
                piece = next_piece(&mut body), if !ended && !is_full(&batch) => match piece {
                    Ok(Some(piece)) => splitter.push(&piece),
                    Ok(None) => {
                        ended = true;
                        if let Some(line) = splitter.finish() {
                            batch.add(line.number, line.text);
                        }
                    }
                    // Broken off: what has no answer yet is not done.
                    Err(()) => return,
                },
            }
        }
    }

    /// All lines or none, in one epoch.
    async fn atomic(self, body: Bytes, answers: mpsc::Sender<Bytes>) {
        let mut splitter = Splitter::new(LINE_BYTES_MAX);
        let mut lines = Lines::default();
        splitter.push(&body);
        while let Some(line) = splitter.next_line() {
            lines.add(line.number, line.text);
        }
        if let Some(line) = splitter.finish() {
            lines.add(line.number, line.text);
        }
        let text = Rc::new(self).commit(lines, true).await;
        let _ = answers.send(text).await;
    }

    /// Commits a batch and says what became of its lines once they are in force.
    async fn commit(self: Rc<Self>, lines: Lines, atomic: bool) -> Bytes {
        let results = Rc::new(RefCell::new(Vec::new()));
        let numbers: Vec<u64> = lines.numbers().collect();
        let act = BatchWrite {
            asked: self.asked.clone(),
            lines,
            atomic,
            results: results.clone(),
        };
        let write = Write {
            by: self.by.clone(),
            operation: Operation::Dialect(Box::new(act)),
            conditions: Conditions::default(),
            dry_run: self.dry_run,
            force: self.force,
        };
        let committed = self.core.commit(write).await;
        let mut results: Vec<LineResult> = results.take();
        match committed {
            Ok(done) => {
                if !self.dry_run {
                    self.core.in_force.wait(done.epoch, self.wait).await;
                }
                if let Some(audit) = &self.core.audit {
                    audit
                        .note(&self.by, 200, done.epoch, &done.differences)
                        .await;
                }
            }
            Err(refusal) => {
                // Of an atomic batch the lines at fault have said so already.
                if results.is_empty() || !atomic {
                    let fault = Fault::from(refusal);
                    results = numbers
                        .iter()
                        .map(|line| (*line, Err(LineFault::of(fault.clone(), None))))
                        .collect();
                }
            }
        }
        let mut text = Vec::with_capacity(results.len() * 96);
        let (before, after) = self.asked.frame();
        for (line, result) in &results {
            match result {
                Ok(id) => {
                    text.extend_from_slice(before.as_bytes());
                    // Writing to memory never fails.
                    let _ = serde_json::to_writer(&mut text, &**id);
                    text.extend_from_slice(after.as_bytes());
                }
                Err(fault) => fault.show(*line, &mut text),
            }
        }
        text.into()
    }
}

fn is_full(batch: &Lines) -> bool {
    batch.len() >= BATCH_LINES_MAX || batch.size() >= BATCH_BYTES_MAX
}

/// The next bytes; none at the end, an error if there will be no end.
async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, ()> {
    let frame = tokio::time::timeout(QUIET_MAX, body.frame())
        .await
        .map_err(|_| ())?;
    match frame {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(_)) => Err(()),
    }
}

/// Hands the answers of the batches on in their order.
async fn pass_on(mut batches: mpsc::Receiver<Pending>, answers: mpsc::Sender<Bytes>) {
    while let Some((batch, permit)) = batches.recv().await {
        let Ok(text) = batch.await else { return };
        if answers.send(text).await.is_err() {
            return;
        }
        drop(permit);
    }
}
