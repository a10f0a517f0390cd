//! What a store takes on disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes allocated below `directory`, as `du` counts them; files that vanish meanwhile count as
/// nothing.
pub fn allocated_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_below_a_directory_are_counted() {
        let directory = std::env::temp_dir().join(format!("midge-load-du-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("inner")).unwrap();
        std::fs::write(directory.join("inner/file"), vec![1u8; 100_000]).unwrap();
        let bytes = super::allocated_bytes(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
    }
}
