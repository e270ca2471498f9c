//! Generic: seed 002, Otoroshi's resource API, `/apis/{group}/{version}/{entity}`.

mod access;
mod armour;
mod body;
mod catalogue;
mod convert;
mod fault;
mod form;
mod listing;
mod media;
mod patch;
mod place;
mod render;
mod template;

pub(in crate::admin) use self::fault::Fault;

/// A text of `bytes` random bytes, in hexadecimal.
pub(crate) fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // Without the kernel's randomness there is no secret to be had, and nothing else to do.
    if let Err(error) = getrandom::fill(&mut random) {
        unreachable!("the kernel gives random bytes: {error}");
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
