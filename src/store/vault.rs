//! Encryption at rest: the keys of a store, and what is done with them.
//!
//! A store has one random *data key*, made with it. It stands in `key-0` and
//! `key-1`, sealed by a key that is derived (PBKDF2, HMAC-SHA-256) from the one
//! that is configured; so another configured key costs writing these two files,
//! one after the other. Everything else is sealed by keys that are derived (HKDF)
//! from the data key: one for each journal file, each segment, and the states and
//! indexes of each stream. Sealed bytes are followed by their nonce and their tag:
//! who changes a bit of them is found out, and learns nothing from the error.
//!
//! Not sealed: lengths, times, sequences and numbers of streams, which the heads
//! of commits and blocks say.

use std::io;
use std::sync::Arc;

use ring::aead::{
    Aad, LessSafeKey, Nonce, Tag, UnboundKey, AES_256_GCM, CHACHA20_POLY1305, NONCE_LEN,
};
use ring::hkdf::{Prk, Salt, HKDF_SHA256};
use ring::pbkdf2::{derive, PBKDF2_HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

use super::disk::{read_whole, Disk, Open};
use super::journal::DIR;
use super::segment::STREAMS_DIR;
use super::state::{body, finish, start};

/// How a store is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305.
    #[default]
    ChaCha20Poly1305,
    /// AES-256-GCM.
    Aes256Gcm,
}

/// The key that is configured.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey {
    /// For a store that is made now; one that is there keeps the cipher that it has.
    pub cipher: Cipher,
    /// Any text.
    pub key: String,
    /// The key that it had before.
    pub previous: Option<String>,
}

/// Why a store stays shut.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Neither the key nor the one before fits. The words are nats-server's.
    #[error("unable to recover keys")]
    Wrong,
    /// It is sealed, and there is no key. The words are nats-server's.
    #[error("encryption not enabled")]
    Missing,
    /// It was made without a key.
    #[error("the store is not encrypted, and cannot become so: it was made without a key")]
    NotSealed,
    /// The device failed.
    #[error("{0}")]
    Device(String),
}

/// The keys of a store. See the module's documentation.
pub struct Vault {
    cipher: Cipher,
    root: Prk,
    random: SystemRandom,
}

/// Seals the commits of one journal file.
pub(super) struct Sealer {
    key: LessSafeKey,
    /// Nonces count up from here by the number of the commit.
    first: [u8; NONCE_LEN],
}

/// What is sealed; each has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// A file of a journal, by identity, number and boot.
    Journal(u64, u64, u64),
    /// Blocks of a segment of a stream.
    Segment(u64, u32),
    /// What the segments of a stream start with.
    Head(u64),
    Index(u64),
    State(u64),
}

/// Bytes that sealing adds: the nonce and the tag.
pub(super) const SEALED_MORE: usize = NONCE_LEN + TAG_LEN;

const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;
const SALT_LEN: usize = 16;
/// Rounds that make trying keys expensive; some 50 ms at a start.
const ROUNDS: std::num::NonZeroU32 = std::num::NonZeroU32::MIN.saturating_add(99_999);

const KEY_PATHS: [&str; 2] = ["key-0", "key-1"];
const KEY_MAGIC: [u8; 8] = *b"MIDGEKEY";
const ENVELOPE_MAGIC: [u8; 8] = *b"MIDGESLD";

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

impl Vault {
    /// The keys of the store on `disk`, which gets some if there is nothing yet; `None` for a
    /// store that is not sealed. A store that has the previous key gets the new one. Blocks.
    ///
    /// # Errors
    /// The store cannot be used with this key, or without one.
    pub fn open(disk: &dyn Disk, key: Option<&StoreKey>) -> Result<Option<Arc<Self>>, KeyError> {
        Self::open_as(disk, key, true)
    }

    /// The same without changing anything.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_to_read(
        disk: &dyn Disk,
        key: Option<&StoreKey>,
    ) -> Result<Option<Arc<Self>>, KeyError> {
        Self::open_as(disk, key, false)
    }

    fn open_as(
        disk: &dyn Disk,
        key: Option<&StoreKey>,
        may_write: bool,
    ) -> Result<Option<Arc<Self>>, KeyError> {
        let device = |error: io::Error| KeyError::Device(error.to_string());
        let mut copies = Vec::new();
        for path in KEY_PATHS {
            if let Some(bytes) = read_whole(disk, path).map_err(device)? {
                copies.push(Locked::parse(&bytes));
            }
        }
        let is_empty = disk.list(DIR).map_err(device)?.is_empty()
            && disk.list(STREAMS_DIR).map_err(device)?.is_empty();
        let is_sealed = copies.iter().flatten().next().is_some() || !copies.is_empty() && !is_empty;
        let Some(configured) = key else {
            return if is_sealed { Err(KeyError::Missing) } else { Ok(None) };
        };
        let random = SystemRandom::new();
        if !is_sealed {
            if !is_empty || !may_write {
                return Err(KeyError::NotSealed);
            }
            let mut data_key = [0; KEY_LEN];
            fill(&random, &mut data_key).map_err(device)?;
            write_all(disk, &random, configured, configured.cipher, &data_key).map_err(device)?;
            return Ok(Some(Self::with_key(configured.cipher, &data_key)));
        }
        let unlock = |text: &str| {
            let mut locked = copies.iter().flatten();
            locked.find_map(|copy| Some((copy.cipher, copy.unlock(text)?)))
        };
        let previous = || unlock(configured.previous.as_deref()?);
        let found = unlock(&configured.key).or_else(previous);
        let (cipher, data_key) = found.ok_or(KeyError::Wrong)?;
        let is_current = |copy: &Option<Locked>| {
            copy.as_ref().and_then(|copy| copy.unlock(&configured.key)) == Some(data_key)
        };
        if may_write && !(copies.len() == KEY_PATHS.len() && copies.iter().all(is_current)) {
            write_all(disk, &random, configured, cipher, &data_key).map_err(device)?;
        }
        Ok(Some(Self::with_key(cipher, &data_key)))
    }

    fn with_key(cipher: Cipher, data_key: &[u8; KEY_LEN]) -> Arc<Self> {
        let root = Salt::new(HKDF_SHA256, &KEY_MAGIC).extract(data_key);
        Arc::new(Self { cipher, root, random: SystemRandom::new() })
    }

    /// Seals `bytes`, which grow by [`SEALED_MORE`].
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn seal(&self, area: Area, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut nonce = [0; NONCE_LEN];
        fill(&self.random, &mut nonce)?;
        let len = bytes.len();
        bytes.resize(len + SEALED_MORE, 0);
        seal_in_place(&self.key(area)?, nonce, bytes)
    }

    /// Opens what [`seal`](Self::seal) made; whether it was that.
    pub(super) fn unseal(&self, area: Area, bytes: &mut Vec<u8>) -> bool {
        let opened = self.key(area).is_ok_and(|key| open_in_place(&key, bytes));
        bytes.truncate(bytes.len().saturating_sub(SEALED_MORE));
        opened
    }

    /// Seals the commits of a journal file that is made now.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn sealer(&self, area: Area) -> io::Result<Sealer> {
        let mut first = [0; NONCE_LEN];
        fill(&self.random, &mut first)?;
        Ok(Sealer { key: self.key(area)?, first })
    }

    /// A whole file, sealed.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn wrap(&self, area: Area, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        self.seal(area, &mut bytes)?;
        let mut out = start(ENVELOPE_MAGIC);
        out.extend_from_slice(&bytes);
        Ok(finish(out))
    }

    /// What [`wrap`](Self::wrap) made a file of.
    pub(super) fn unwrap(&self, area: Area, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = body(bytes, ENVELOPE_MAGIC)?.to_vec();
        self.unseal(area, &mut sealed).then_some(sealed)
    }

    fn key(&self, area: Area) -> io::Result<LessSafeKey> {
        let (kind, numbers) = match area {
            Area::Journal(identity, file, boot) => (1_u64, [identity, file, boot]),
            Area::Segment(stream, segment) => (2, [stream, u64::from(segment), 0]),
            Area::Head(stream) => (3, [stream, 0, 0]),
            Area::Index(stream) => (4, [stream, 0, 0]),
            Area::State(stream) => (5, [stream, 0, 0]),
        };
        let mut info = [0; 32];
        for (part, number) in info.chunks_exact_mut(8).zip([&[kind][..], &numbers].concat()) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        let info = [&info[..]];
        let key = self.root.expand(&info, self.cipher.algorithm()).map_err(unspecified)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

impl Sealer {
    /// Seals the events of a commit in place; the last [`SEALED_MORE`] bytes are room for nonce
    /// and tag.
    pub(super) fn seal(&self, commit: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut nonce = self.first;
        let [a, b, c, d, e, f, g, h, ..] = nonce;
        let count = u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_add(commit);
        for (place, byte) in nonce.iter_mut().zip(count.to_le_bytes()) {
            *place = byte;
        }
        seal_in_place(&self.key, nonce, bytes)
    }
}

impl Cipher {
    fn algorithm(self) -> &'static ring::aead::Algorithm {
        match self {
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Self::Aes256Gcm => &AES_256_GCM,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::ChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }
}

/// A data key, sealed.
struct Locked {
    cipher: Cipher,
    salt: [u8; SALT_LEN],
    /// With nonce and tag.
    sealed: [u8; KEY_LEN + SEALED_MORE],
}

impl Locked {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (cipher, rest) = body(bytes, KEY_MAGIC)?.split_first()?;
        let ciphers = [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm];
        let cipher = ciphers.into_iter().find(|known| known.number() == *cipher)?;
        let (salt, sealed) = rest.split_first_chunk()?;
        Some(Self { cipher, salt: *salt, sealed: sealed.try_into().ok()? })
    }

    fn unlock(&self, text: &str) -> Option<[u8; KEY_LEN]> {
        let key = locking_key(self.cipher, &self.salt, text).ok()?;
        let mut bytes = self.sealed;
        open_in_place(&key, &mut bytes).then(|| bytes.first_chunk().copied()).flatten()
    }
}

/// Writes both copies, one after the other.
fn write_all(
    disk: &dyn Disk,
    random: &SystemRandom,
    configured: &StoreKey,
    cipher: Cipher,
    data_key: &[u8; KEY_LEN],
) -> io::Result<()> {
    let mut salt = [0; SALT_LEN];
    fill(random, &mut salt)?;
    let key = locking_key(cipher, &salt, &configured.key)?;
    let mut nonce = [0; NONCE_LEN];
    fill(random, &mut nonce)?;
    let mut sealed = data_key.to_vec();
    sealed.resize(KEY_LEN + SEALED_MORE, 0);
    seal_in_place(&key, nonce, &mut sealed)?;
    let mut bytes = start(KEY_MAGIC);
    bytes.push(cipher.number());
    bytes.extend_from_slice(&salt);
    bytes.extend_from_slice(&sealed);
    let bytes = finish(bytes);
    for path in KEY_PATHS {
        let file = disk.open(path, Open::Write)?;
        file.write_at(0, &bytes)?;
        file.sync()?;
        disk.sync_dir("")?;
    }
    Ok(())
}

fn locking_key(cipher: Cipher, salt: &[u8], text: &str) -> io::Result<LessSafeKey> {
    let mut key = [0; KEY_LEN];
    derive(PBKDF2_HMAC_SHA256, ROUNDS, salt, text.as_bytes(), &mut key);
    Ok(LessSafeKey::new(UnboundKey::new(cipher.algorithm(), &key).map_err(unspecified)?))
}

fn unspecified(_: ring::error::Unspecified) -> io::Error {
    io::Error::other("cipher failed")
}

fn fill(random: &SystemRandom, bytes: &mut [u8]) -> io::Result<()> {
    random.fill(bytes).map_err(unspecified)
}

/// Seals all but the last [`SEALED_MORE`] bytes; these become nonce and tag.
fn seal_in_place(key: &LessSafeKey, nonce: [u8; NONCE_LEN], bytes: &mut [u8]) -> io::Result<()> {
    let at = bytes.len().saturating_sub(SEALED_MORE);
    let (text, more) = bytes.split_at_mut(at);
    let sealed =
        key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), text);
    let tag = sealed.map_err(unspecified)?;
    let (nonce_place, tag_place) = more.split_at_mut(NONCE_LEN.min(more.len()));
    nonce_place.copy_from_slice(&nonce);
    tag_place.copy_from_slice(tag.as_ref());
    Ok(())
}

/// Opens all but the last [`SEALED_MORE`] bytes in place; whether they are what was sealed.
fn open_in_place(key: &LessSafeKey, bytes: &mut [u8]) -> bool {
    let Some(at) = bytes.len().checked_sub(SEALED_MORE) else { return false };
    let (text, more) = bytes.split_at_mut(at);
    let Some((nonce, tag)) = more.split_first_chunk::<NONCE_LEN>() else { return false };
    let Ok(tag) = Tag::try_from(tag) else { return false };
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_in_place_separate_tag(nonce, Aad::empty(), tag, text, 0..).is_ok()
}

/// Opens the events of a commit.
pub(super) fn unseal_commit(vault: &Vault, area: Area, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    vault.unseal(area, &mut bytes).then_some(bytes)
}
