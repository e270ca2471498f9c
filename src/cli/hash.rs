//! `ringway hash`: what a configuration keeps of a secret.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::process::ExitCode;

use crate::table::policy::digest;

/// How a secret is hashed.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Without a salt, for long random keys: all of them are then looked up at once.
    #[arg(long)]
    pub no_salt: bool,
}

/// Reads a secret from the standard input and prints what `secret_hash` takes.
pub fn run(args: &Args) -> ExitCode {
    let mut secret = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut secret) {
        eprintln!("the secret cannot be read from the standard input: {error}");
        return ExitCode::FAILURE;
    }
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        eprintln!("the secret is empty; give one on the standard input");
        return ExitCode::FAILURE;
    }
    let salt = if args.no_salt { Vec::new() } else { salt() };
    let digest = digest(&salt, secret.as_bytes());
    println!("sha256:{}:{}", hexadecimal(&salt), hexadecimal(&digest));
    ExitCode::SUCCESS
}

/// Sixteen bytes that no other secret has; they need not be secret.
fn salt() -> Vec<u8> {
    let draw = || RandomState::new().hash_one(std::time::SystemTime::now());
    [draw(), draw()].map(u64::to_be_bytes).concat()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
