//! The files of one package, until `dpkg-deb` packs them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Compression, architecture, file_name};
use crate::dist;
use crate::process::{self, program};

const MAINTAINER: &str = "Evenkeel developers <evenkeel@users.noreply.github.com>";

/// Scripts that dpkg runs; those of a package are `deploy/debian/PACKAGE.SCRIPT`.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

/// A package in the making.
pub(super) struct Tree {
    name: &'static str,
    section: &'static str,
    summary: &'static str,
    description: String,
    depends: Vec<String>,
    configuration: Vec<String>,
    /// What is linked with libraries of the system.
    binaries: Vec<PathBuf>,
    folder: TempDir,
}

impl Tree {
    pub(super) fn new(name: &'static str, section: &'static str, summary: &'static str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let (description, depends, configuration, binaries) = Default::default();
        Ok(Self { name, section, summary, description, depends, configuration, binaries, folder })
    }

    /// Sets the lines below the summary.
    pub(super) fn says(&mut self, description: &str) {
        self.description = description.lines().fold(String::new(), |mut lines, line| {
            let _ = writeln!(lines, " {line}");
            lines
        });
    }

    /// Adds a package that this one needs.
    pub(super) fn depends(&mut self, package: &str) {
        self.depends.push(package.to_owned());
    }

    /// Adds a program, without the names of its symbols.
    pub(super) fn program(&mut self, from: &Path) -> Result<()> {
        let to = self.script(from)?;
        process::run(program("strip", ["--strip-unneeded"]).arg(&to))?;
        self.binaries.push(to);
        Ok(())
    }

    /// Adds a program in a language that is not compiled.
    pub(super) fn script(&mut self, from: &Path) -> Result<PathBuf> {
        let name = from.file_name().context("a program has a name")?;
        let to = self.folder.path().join("usr/bin").join(name);
        dist::copy(from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        Ok(to)
    }

    /// Adds a file.
    pub(super) fn file(&mut self, from: &Path, to: &str) -> Result<()> {
        let path = self.folder.path().join(to);
        dist::copy(from, &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        if Path::new(to).components().any(|part| part.as_os_str() == "modules") {
            self.binaries.push(path);
        }
        Ok(())
    }

    /// Adds a file that the user may change, and that an upgrade then leaves alone.
    pub(super) fn configuration(&mut self, from: &Path, to: &str) -> Result<()> {
        self.configuration.push(format!("/{to}"));
        self.file(from, to)
    }

    /// Adds a page of documentation.
    pub(super) fn document(&mut self, from: &Path) -> Result<()> {
        let name = from.file_name().context("a page has a name")?.to_string_lossy();
        self.file(from, &format!("usr/share/doc/{}/{name}", self.name))
    }

    /// Adds a file with a text.
    pub(super) fn text(&mut self, to: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(to);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, target: &str, to: &str) -> Result<()> {
        let path = self.folder.path().join(to);
        fs::create_dir_all(path.parent().context("a link has a folder")?)?;
        dist::link(target, &path)
    }

    /// Adds an empty folder.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        Ok(fs::create_dir_all(self.folder.path().join(path))?)
    }

    /// Packs it; returns the package's path.
    pub(super) fn pack(mut self, folder: &Path, version: &str, compression: Compression) -> Result<PathBuf> {
        self.papers(version)?;
        let libraries = self.libraries()?;
        self.depends.extend(libraries);
        self.control(version)?;
        let package = folder.join(file_name(self.name, version)?);
        let compress = match compression {
            Compression::Small => "-Zxz",
            Compression::Quick => "-Zgzip",
        };
        let mut pack = program("dpkg-deb", ["--root-owner-group", compress]);
        if matches!(compression, Compression::Quick) {
            pack.arg("-z1");
        }
        pack.arg("--build");
        process::output(pack.arg(self.folder.path()).arg(&package))?;
        Ok(package)
    }

    /// Licences and changelogs.
    fn papers(&mut self, version: &str) -> Result<()> {
        let (root, name) = (process::root(), self.name);
        let licence = fs::read_to_string(root.join("LICENSE-MIT"))?;
        let lines = licence.lines().map(|line| if line.is_empty() { " .\n".into() } else { format!(" {line}\n") });
        let copyright = fs::read_to_string(root.join("deploy/debian/copyright"))?;
        let papers = format!("usr/share/doc/{name}");
        self.text(&format!("{papers}/copyright"), &copyright.replace("@MIT@\n", &lines.collect::<String>()))?;
        self.file(&root.join("CHANGELOG.md"), &format!("{papers}/changelog"))?;
        let date = process::output(&mut program("date", ["--rfc-email", "--reference", "CHANGELOG.md"]))?;
        let entry = format!(
            "{name} ({version}-1) stable; urgency=medium\n\n  * Version {version}: see changelog.gz.\n\n -- {MAINTAINER}  {date}"
        );
        self.text(&format!("{papers}/changelog.Debian"), &entry)?;
        let folder = self.folder.path().join(papers);
        process::run(program("gzip", ["-9n", "changelog", "changelog.Debian"]).current_dir(folder))
    }

    /// Packages of the shared libraries that programs were linked with.
    fn libraries(&self) -> Result<Option<String>> {
        if self.binaries.is_empty() {
            return Ok(None);
        }
        let scratch = tempfile::tempdir()?;
        let control = format!("Source: evenkeel\n\nPackage: {}\nArchitecture: any\n", self.name);
        fs::create_dir(scratch.path().join("debian"))?;
        fs::write(scratch.path().join("debian/control"), control)?;
        let mut find = program("dpkg-shlibdeps", ["-O", "--warnings=0"]);
        let found = process::output(find.args(&self.binaries).current_dir(scratch.path()))?;
        Ok(found.trim().strip_prefix("shlibs:Depends=").map(str::to_owned))
    }

    /// What dpkg reads: the description, the list of configuration, the scripts.
    fn control(&mut self, version: &str) -> Result<()> {
        let (name, section, summary, description) = (self.name, self.section, self.summary, &self.description);
        let mut control = format!(
            "Package: {name}\nVersion: {version}-1\nArchitecture: {}\nMaintainer: {MAINTAINER}\nSection: {section}\n\
             Priority: optional\n",
            architecture()?
        );
        if !self.depends.is_empty() {
            let _ = writeln!(control, "Depends: {}", self.depends.join(", "));
        }
        let _ = write!(control, "Description: {summary}\n{description}");
        self.text("DEBIAN/control", &control)?;
        if !self.configuration.is_empty() {
            let list = self.configuration.join("\n") + "\n";
            self.text("DEBIAN/conffiles", &list)?;
        }
        for script in SCRIPTS {
            let from = process::root().join(format!("deploy/debian/{name}.{script}"));
            if from.is_file() {
                let to = self.folder.path().join("DEBIAN").join(script);
                dist::copy(&from, &to)?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    }
}
