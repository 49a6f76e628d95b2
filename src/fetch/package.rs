//! Fetches one package: its manifest, then its layers in order, into one folder.

use std::{io, path::Path, time::Duration};

use tokio::time::Instant;

use super::{
    archive::{Reading, unpack},
    fault::{Aside, Fault},
    folder::{Folder, Limits},
    links,
    path::inside,
    stream::{Stream, stream},
};
use crate::{
    record::fetch::Problem,
    registry::{
        Asker, Form, ImageReference, Keyring, Layer, PackageManifest, Platform, Registry, ResolveError,
    },
};

/// The first and the longest pause before a registry is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Everything needed to fetch packages.
pub(super) struct Fetcher {
    pub(super) registry: Registry,
    pub(super) platform: Platform,
    pub(super) keyring: Keyring,
    /// Why some credentials are not in the keyring.
    pub(super) notes: Vec<String>,
    pub(super) limits: Limits,
    pub(super) give_up: Instant,
}

impl Fetcher {
    /// Fills the folder at `root` with the package. Returns how many entries and bytes it has.
    pub(super) async fn fetch(&self, package: &ImageReference, root: &Path) -> Result<(u32, u64), Fault> {
        let mut pause = PAUSES.0;
        loop {
            let tried = self.once(package, root).await;
            let left = self.give_up.saturating_duration_since(Instant::now());
            match tried {
                Err(fault) if fault.transient && !left.is_zero() => {
                    let pause_now = pause.min(left);
                    eprintln!("{package}: {}; asked again in {} ms", fault.message, pause_now.as_millis());
                    tokio::time::sleep(pause_now).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                other => return other,
            }
        }
    }

    async fn once(&self, package: &ImageReference, root: &Path) -> Result<(u32, u64), Fault> {
        let (manifest, asker) = self.manifest(package).await?;
        let (packed, limit) = (manifest.packed_bytes(), self.limits.bytes);
        if packed > limit {
            let message = format!("it has {packed} bytes packed, and a package may have {limit} unpacked");
            return Err(Fault::new(Problem::TooLarge, message));
        }
        let layers = manifest.layers.map_err(|what| Fault::new(Problem::Invalid, what))?;
        let mut folder = Folder::emptied(root, self.limits)?;
        let count = layers.len();
        for (index, layer) in layers.into_iter().enumerate() {
            folder.next_layer();
            let blob = self.registry.blob(package, &layer.digest, layer.size, asker).await;
            let aside = Aside::default();
            let content = stream(blob.map_err(|error| Fault::from(&error))?, aside.clone());
            let is_image = manifest.is_image;
            let filling = move || {
                let filled = fill(content, &layer, is_image, &mut folder, &aside);
                filled.map(|()| folder).map_err(|fault| fault.of(format!("layer {} of {count}", index + 1)))
            };
            folder = tokio::task::spawn_blocking(filling)
                .await
                .map_err(|error| Fault::new(Problem::Internal, error.to_string()))??;
        }
        links::check(&folder)?;
        Ok(folder.size())
    }

    /// Returns the manifest, and with which credentials it was read. Tries none first, then those of the pull
    /// Secrets.
    async fn manifest(&self, package: &ImageReference) -> Result<(PackageManifest, &Asker), Fault> {
        const ANONYMOUS: &Asker = &Asker::anonymous();
        let mut refused: Option<ResolveError> = None;
        for asker in std::iter::once(ANONYMOUS).chain(self.keyring.askers(package)) {
            match self.registry.package(package, &self.platform, asker).await {
                Ok(manifest) => return Ok((manifest, asker)),
                Err(error) if error.may_help_to_ask_as_another() => refused = Some(error),
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        let fault = refused.as_ref().map(Fault::from);
        let mut fault = fault.unwrap_or_else(|| Fault::new(Problem::Denied, "nobody was asked"));
        for note in &self.notes {
            fault.message = format!("{}; {note}", fault.message);
        }
        Err(fault)
    }
}

/// Unpacks a layer into the folder, and reads it to its end: only then is its digest known.
fn fill(
    mut content: Stream,
    layer: &Layer,
    is_image: bool,
    folder: &mut Folder,
    aside: &Aside,
) -> Result<(), Fault> {
    let reading = |gzip: bool, strip: bool| Reading { gzip, strip, whiteouts: is_image };
    let filled = match &layer.form {
        Form::Chart => unpack(&mut content, reading(true, true), folder, aside),
        Form::Archive { gzip } => unpack(&mut content, reading(*gzip, false), folder, aside),
        Form::File(name) => inside(name.as_bytes())
            .and_then(|path| folder.file(&path, layer.size, false, &mut content, aside)),
    };
    match filled {
        // Bytes that cannot be unpacked may not be those that were pushed, so the digest decides.
        Err(fault) if fault.problem != Problem::Invalid => Err(fault),
        filled => {
            io::copy(&mut content, &mut io::sink()).map_err(|error| aside.fault(&error))?;
            filled
        }
    }
}
