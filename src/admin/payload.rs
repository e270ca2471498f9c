//! Payload: the body of an answer: whole, a long list in pieces, or a stream that does not end.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

use super::state::Kept;

/// Bytes of a piece, about.
const PIECE: usize = 64 * 1024;

/// The body of an answer.
pub(super) enum Payload {
    /// All of it.
    Whole(Option<Bytes>),
    /// `{"<name>":[…]}`, written as it is read: the entities are those of one moment.
    List {
        open: Option<&'static str>,
        entities: std::vec::IntoIter<Rc<Kept>>,
        first: bool,
    },
    /// Pieces as they are asked for, until there is none.
    Lazy(Box<dyn FnMut() -> Option<Bytes>>),
    /// Pieces as they come.
    Stream(mpsc::Receiver<Bytes>),
}

impl Payload {
    pub(super) fn list(name: &'static str, entities: Vec<Rc<Kept>>) -> Self {
        Self::List {
            open: Some(name),
            entities: entities.into_iter(),
            first: true,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Stream(pieces) => {
                return pieces
                    .poll_recv(context)
                    .map(|piece| piece.map(|piece| Ok(Frame::data(piece))));
            }
            Self::Lazy(next) => next(),
            Self::List {
                open,
                entities,
                first,
            } => piece_of(open, entities, first),
        };
        if matches!(&*self, Self::List { open: None, entities, .. } if entities.len() == 0) {
            *self = Self::Whole(None);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            _ => SizeHint::default(),
        }
    }
}

fn piece_of(
    open: &mut Option<&'static str>,
    entities: &mut std::vec::IntoIter<Rc<Kept>>,
    first: &mut bool,
) -> Option<Bytes> {
    let mut piece = String::with_capacity(PIECE);
    if let Some(name) = open.take() {
        piece.push_str("{\"");
        piece.push_str(name);
        piece.push_str("\":[");
    }
    for kept in entities.by_ref() {
        if !std::mem::take(first) {
            piece.push(',');
        }
        piece.push_str(&kept.text.json());
        if piece.len() >= PIECE {
            break;
        }
    }
    if entities.len() == 0 {
        piece.push_str("]}");
    }
    Some(piece.into())
}
