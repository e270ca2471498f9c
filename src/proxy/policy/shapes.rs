//! Shapes: what responses on their way are to get, while their requests are gone.
//!
//! A shape is a place in a list of the core, with the lines that were composed for the response
//! and the policies of its route. Places and their memory are used again. Policies are shared
//! between cores, so a core keeps one reference to those that it has met: counting references per
//! request would be a write to a line that all cores write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::compress::Coding;
use crate::proxy::beside::Extras;
use crate::proxy::local;
use crate::proxy::recode::Recoded;
use crate::table::policy::Policies;
use crate::wire::field::Field;
use crate::wire::head::Response;

/// The shapes of a core.
#[derive(Default)]
pub(in crate::proxy) struct Shapes {
    all: RefCell<Vec<Shape>>,
    free: RefCell<Vec<usize>>,
    /// By the address of the policies, which stays theirs as long as they are here.
    met: RefCell<HashMap<usize, Rc<Met>, foldhash::fast::RandomState>>,
}

/// Policies that this core has met.
struct Met(Arc<Policies>);

struct Shape {
    lines: Vec<u8>,
    policies: Rc<Met>,
    /// How the client takes it compressed.
    coding: Option<Coding>,
}

/// The shape of one response; its place is free when this is dropped.
pub(in crate::proxy) struct Handle {
    shapes: Rc<Shapes>,
    index: usize,
    /// What is done besides passing the request on.
    extras: Option<Box<Extras>>,
}

impl Shapes {
    /// Keeps `lines` for a response.
    pub(in crate::proxy) fn take(
        shapes: &Rc<Self>,
        policies: &Arc<Policies>,
        lines: &[u8],
        coding: Option<Coding>,
    ) -> Handle {
        let policies = shapes.meet(policies);
        let free = shapes.free.borrow_mut().pop();
        let mut all = shapes.all.borrow_mut();
        let index = match free {
            Some(index) => index,
            None => {
                all.push(Shape {
                    lines: Vec::new(),
                    policies: policies.clone(),
                    coding,
                });
                all.len() - 1
            }
        };
        if let Some(shape) = all.get_mut(index) {
            shape.lines.clear();
            shape.lines.extend_from_slice(lines);
            shape.policies = policies;
            shape.coding = coding;
        }
        Handle {
            shapes: shapes.clone(),
            index,
            extras: None,
        }
    }

    /// Forgets policies that no table has any more.
    #[cold]
    pub(in crate::proxy) fn sweep(&self) {
        let in_use = |kept: &Rc<Met>| Rc::strong_count(kept) > 1;
        self.met
            .borrow_mut()
            .retain(|_, kept| in_use(kept) || Arc::strong_count(&kept.0) > 1);
    }

    fn meet(&self, policies: &Arc<Policies>) -> Rc<Met> {
        let place = Arc::as_ptr(policies) as usize;
        if let Some(known) = self.met.borrow().get(&place) {
            return known.clone();
        }
        let met = Rc::new(Met(policies.clone()));
        self.met.borrow_mut().insert(place, met.clone());
        met
    }
}

impl Handle {
    /// Notes what is done besides.
    pub(in crate::proxy) fn give_extras(&mut self, extras: Option<Box<Extras>>) {
        self.extras = extras;
    }

    /// Whether anything is done besides.
    #[inline]
    pub(in crate::proxy) fn has_extras(&self) -> bool {
        self.extras.is_some()
    }

    pub(in crate::proxy) fn take_extras(&mut self) -> Option<Extras> {
        self.extras.take().map(|extras| *extras)
    }

    /// Whether fields of the response go.
    #[inline]
    pub(in crate::proxy) fn drops_any(&self) -> bool {
        self.with(|shape| {
            let Policies { response, cors, .. } = &*shape.policies.0;
            response.drops_any() || cors.is_some()
        })
        .unwrap_or(false)
    }

    /// Whether the field `name` of the response goes.
    pub(in crate::proxy) fn drops(&self, name: &str) -> bool {
        self.with(|shape| {
            let Policies { response, cors, .. } = &*shape.policies.0;
            response.drops_field(name) || (cors.is_some() && crate::table::policy::is_of_cors(name))
        })
        .unwrap_or(false)
    }

    /// Whether values of fields change.
    #[inline]
    pub(in crate::proxy) fn replaces(&self) -> bool {
        let replaces = self.with(|shape| shape.policies.0.response.replaces());
        replaces.unwrap_or(false)
    }

    /// Writes the line of a field whose value changes in an answer of the server of this name,
    /// which was asked over TLS or not.
    #[cold]
    pub(in crate::proxy) fn replace(
        &self,
        field: &Field<'_>,
        server: &str,
        secure: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        let (scheme, port) = match secure {
            true => ("https", ":443"),
            false => ("http", ":80"),
        };
        let host = server.strip_suffix(port).unwrap_or(server);
        let server = format!("{scheme}://{host}/");
        self.with(|shape| {
            let response = &shape.policies.0.response;
            response.put_replaced(field.name, field.value, &server, out)
        })
        .unwrap_or(false)
    }

    /// Writes the lines.
    pub(in crate::proxy) fn put(&self, out: &mut Vec<u8>) {
        self.with(|shape| out.extend_from_slice(&shape.lines));
    }

    /// Whether the response is one that is compressed, and how.
    pub(in crate::proxy) fn recoded<'r>(&self, response: &Response<'r, '_>) -> Option<Recoded<'r>> {
        self.with(|shape| {
            let rules = shape.policies.0.compress.as_ref()?;
            Recoded::of(rules, shape.coding, response)
        })
        .flatten()
    }

    /// The status of an answer of our own, its body, and the lines that go with it.
    #[cold]
    pub(in crate::proxy) fn page(&self, status: u16, message: &str) -> Option<local::Page> {
        self.with(|shape| {
            let policies = &shape.policies.0;
            let page = policies.page(status)?;
            Some(local::fill(page, status, message, &policies.route))
        })
        .flatten()
    }

    fn with<T>(&self, look: impl FnOnce(&Shape) -> T) -> Option<T> {
        self.shapes.all.borrow().get(self.index).map(look)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shapes.free.borrow_mut().push(self.index);
    }
}
