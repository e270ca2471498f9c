//! Putting a new content in the place of a file's, so that a crash leaves the old or the new one.
//!
//! The new content is written to a second file in the same folder and made durable, then renamed
//! over the first; then the folder is made durable. A second file that a crash left behind is
//! removed by the next replacement and never read.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatxAttributes, StatxFlags, access, statx};

use super::error::StoreError;

/// The mode of a file that is not there yet; it may hold a key.
const MODE_NEW: u32 = 0o600;
/// The bits of a mode that are kept.
const MODE_BITS: u32 = 0o7777;

/// Replaces the content of `path` by `content` if `permit` allows it, shown the present content
/// (none if there is no file). Mode and owner stay.
pub(super) fn replace(
    path: &Path,
    content: &[u8],
    permit: impl FnOnce(Option<&[u8]>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // A symbolic link stays one: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&target);
    let written = Written::new(&target, content)?;
    let present = match fs::read(&target) {
        Ok(present) => Some(present),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(StoreError::io("cannot read", &target)(error)),
    };
    // As late as possible: what is edited after this look is lost.
    permit(present.as_deref())?;
    written.rename_to(&target)?;
    if let Err(error) = sync(&folder) {
        // Whether the rename would outlive a crash is unknown: take it back.
        if let Some(present) = present {
            let _ = Written::new(&target, &present).and_then(|old| old.rename_to(&target));
        }
        return Err(StoreError::io("cannot make durable", &folder)(error));
    }
    Ok(())
}

/// Why `path` could not be replaced, as far as it can be known without trying.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) => return Some(format!("{error}; create it")),
    };
    if let Err(error) = access(&target, Access::WRITE_OK) {
        return Some(format!("{error}; let this user write it"));
    }
    let folder = folder_of(&target);
    if let Err(error) = access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
        return Some(format!(
            "a change is written as a new file beside it, and the folder {} refuses that: {error}; \
             let this user write the folder",
            folder.display()
        ));
    }
    let user = rustix::process::geteuid();
    let owner = fs::metadata(&target).map(|found| found.uid());
    if !user.is_root() && owner.is_ok_and(|owner| owner != user.as_raw()) {
        return Some("it belongs to another user, and would not after a change; chown it".into());
    }
    if is_mounted_alone(&target) {
        return Some("it is a mount of its own; mount its folder instead".into());
    }
    None
}

/// Makes the entries of a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that `path` is in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `path` with `suffix` at its end and a dot before its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    folder_of(path).join(name)
}

/// A file bound into a container by itself cannot be renamed over.
fn is_mounted_alone(target: &Path) -> bool {
    statx(CWD, target, AtFlags::empty(), StatxFlags::BASIC_STATS)
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// A durable second file; removed unless it was renamed.
struct Written {
    path: PathBuf,
    renamed: bool,
}

impl Written {
    fn new(target: &Path, content: &[u8]) -> Result<Self, StoreError> {
        let path = beside(target, ".ringway-new");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("cannot remove", &path)(error));
            }
            _ => {}
        }
        // Nobody else may read it before it has the mode of the old one.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE_NEW)
            .open(&path)
            .map_err(StoreError::io("cannot create", &path))?;
        let written = Self {
            path,
            renamed: false,
        };
        dress(&file, target)?;
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(StoreError::io("cannot write", &written.path))?;
        Ok(written)
    }

    fn rename_to(mut self, target: &Path) -> Result<(), StoreError> {
        fs::rename(&self.path, target).map_err(StoreError::io("cannot replace", target))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives `file` the owner and the mode of `target`, if that exists.
fn dress(file: &File, target: &Path) -> Result<(), StoreError> {
    let failed = StoreError::io("cannot keep the owner of", target);
    let (Ok(old), Ok(new)) = (fs::metadata(target), file.metadata()) else {
        return Ok(());
    };
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid())).map_err(failed)?;
    }
    // After the owner: a change of owner takes bits from the mode.
    file.set_permissions(Permissions::from_mode(old.mode() & MODE_BITS))
        .map_err(StoreError::io("cannot keep the mode of", target))
}
