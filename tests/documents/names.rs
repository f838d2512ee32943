//! What stands in a folder: odd names, links, and what is no file at all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use crate::content::{cda, sidecar};
use crate::table::{Bench, Outcome};
use Outcome::{Ignored, Quarantined, Registered};

pub fn names(bench: &mut Bench) {
    let longest = format!("{}.xml", "n".repeat(251));
    for name in [
        "a..xml",
        "a..b.xml",
        "with space.xml",
        " leading.xml",
        "trailing.",
        "-rf",
        "~a.xml",
        "a\nb.xml",
        "a\u{1b}[2Jb.xml",
        "a\tb\r.xml",
        "back\\slash.xml",
        "a\\..\\..\\b.xml",
        "%2e%2e%2fa.xml",
        "a\u{202e}lmx.exe",
        "\u{200f}a.xml",
        "é.xml",
        "e\u{301}.xml",
        "🩺",
        "CON",
        "a:b.xml",
        "$(reboot).xml",
        "'; --",
        "A.xml",
        "a.xml",
        "a.JSON",
        "no-ending",
        longest.as_str(),
    ] {
        bench.put(
            &format!("the name {:.40?}", name),
            Registered,
            name,
            cda(&format!("name {}", name.escape_unicode())),
        );
    }
    for name in [".hidden.xml", "...", "..xml", "a.xml.tmp", "a.part", "a.xml~"] {
        bench.put(&format!("the name {name:?}"), Ignored, name, cda(&format!("ignored {name}")));
    }
    let odd = OsStr::from_bytes(b"odd\xff\xfe.xml");
    bench.make("a name that is not UTF-8", Quarantined("NAME_NOT_UTF8"), odd, |path| {
        fs::write(path, cda("odd")).expect("written");
    });
    let (folder, below) = bench.cell_folder("a path that is too long");
    let part = "p".repeat(200);
    let deep = format!("{part}/{part}/{part}/{part}/{part}");
    fs::create_dir_all(folder.join(&deep)).expect("folders");
    fs::write(folder.join(&deep).join("a.xml"), cda("too long")).expect("written");
    // Its quarantine is kept under the key that fits.
    let key: String = format!("{below}/{deep}/a.xml").chars().take(1024).collect();
    let expected = if key.ends_with("a.xml") { Registered } else { Quarantined("PATH_TOO_LONG") };
    bench.expect("a path that is too long", key, &folder.join(&deep).join("a.xml"), expected);
    for (levels, expected) in [(31, Registered), (40, Quarantined("PATH_TOO_LONG"))] {
        let name = format!("{levels} folders deep");
        let (folder, below) = bench.cell_folder(&name);
        let path = folder.join("d/".repeat(levels));
        fs::create_dir_all(&path).expect("folders");
        fs::write(path.join("a.xml"), cda(&name)).expect("written");
        // The first folder that is too deep stands for all below it; the cell's own folder is one of them.
        let key = match &expected {
            Registered => format!("{below}/{}a.xml", "d/".repeat(levels)),
            _ => format!("{below}/{}", vec!["d"; 32].join("/")),
        };
        bench.expect(&name, key, &path.join("a.xml"), expected);
    }
}

pub fn links(bench: &mut Bench, outside: &Path) {
    fs::create_dir_all(outside).expect("a folder");
    fs::write(outside.join("secret.xml"), cda("outside")).expect("written");
    let out = Quarantined("LINK_LEAVES_FOLDER");
    let link = |to: std::path::PathBuf| move |path: &Path| symlink(to, path).expect("a link");
    bench.make("a link to a file outside", out.clone(), "a.xml", link(outside.join("secret.xml")));
    bench.make("a link to a folder outside", out.clone(), "a", link(outside.to_owned()));
    bench.make("a link to /etc/passwd", out.clone(), "a.xml", link("/etc/passwd".into()));
    bench.make("a link to a device", out, "a.xml", link("/dev/zero".into()));
    bench.make("a link to nothing", Quarantined("LINK_BROKEN"), "a.xml", link("nowhere".into()));
    bench.make("a link to itself", Quarantined("LINK_BROKEN"), "a.xml", link("a.xml".into()));
    bench.make("a link to a file beside it", Ignored, "a.xml", link("zz-good.xml".into()));
    bench.make("a link to the folder that it is in", Ignored, "a", link(".".into()));
    bench.make("a link to the folder above", Ignored, "a", link("..".into()));
    let (folder, below) = bench.cell_folder("two links in a ring");
    symlink("two", folder.join("one")).expect("a link");
    symlink("one", folder.join("two")).expect("a link");
    for name in ["one", "two"] {
        let key = format!("{below}/{name}");
        bench.expect("two links in a ring", key, &folder.join(name), Quarantined("LINK_BROKEN"));
    }
    bench.make("a sidecar that is a link", Quarantined("BAD_SIDECAR"), "a.pdf", |path| {
        fs::write(path, "%PDF linked").expect("written");
        fs::write(outside.join("sidecar"), sidecar()).expect("written");
        symlink(outside.join("sidecar"), path.with_extension("pdf.meta.json")).expect("a link");
    });
    bench.make("a sidecar that is a folder", Quarantined("BAD_SIDECAR"), "a.pdf", |path| {
        fs::write(path, "%PDF folder").expect("written");
        fs::create_dir(path.with_extension("pdf.meta.json")).expect("a folder");
    });
    for name in ["one", "two"] {
        let first = outside.join("hard.xml");
        bench.make(&format!("name {name} of a file with two"), Registered, "a.xml", |path| {
            if name == "one" {
                fs::write(path, cda("hard link")).expect("written");
                fs::hard_link(path, &first).expect("one file system");
            } else {
                fs::hard_link(&first, path).expect("one file system");
            }
        });
    }
}

/// What is no file. The socket lives as long as what is returned.
pub fn specials(bench: &mut Bench) -> Vec<UnixListener> {
    let not = Quarantined("NOT_A_FILE");
    let made = |kind: &'static [&'static str]| {
        move |path: &Path| {
            let made = Command::new("mknod").arg(path).args(kind).status();
            assert!(made.is_ok_and(|status| status.success()), "mknod {kind:?}");
        }
    };
    bench.make("a pipe", not.clone(), "a.xml", made(&["p"]));
    if fs::metadata("/dev/zero").is_ok_and(|it| it.file_type().is_char_device())
        && crate::users::is_root()
    {
        bench.make("a device", not.clone(), "a.xml", made(&["c", "1", "5"]));
    }
    let mut sockets = Vec::new();
    bench.make("a socket", not, "s", |path| {
        // The whole path of a socket may be 107 bytes long, so it is made by a short one and moved.
        let short = std::env::temp_dir().join(format!("sundbro-{}.sock", std::process::id()));
        drop(fs::remove_file(&short));
        sockets.push(UnixListener::bind(&short).expect("a socket"));
        fs::rename(&short, path).expect("moved");
    });
    bench.make("a pipe as sidecar", Quarantined("BAD_SIDECAR"), "a.pdf", |path| {
        fs::write(path, "%PDF pipe").expect("written");
        made(&["p"])(&path.with_extension("pdf.meta.json"));
    });
    sockets
}

pub fn times(bench: &mut Bench) {
    let seconds = Duration::from_secs;
    for (name, time) in [
        ("1970", UNIX_EPOCH),
        ("1969", UNIX_EPOCH - seconds(1)),
        ("1901", UNIX_EPOCH - seconds(1 << 31)),
        ("2100", UNIX_EPOCH + seconds(4_102_444_800)),
        ("2038", UNIX_EPOCH + seconds(1 << 31)),
        ("2446", UNIX_EPOCH + seconds(15_032_385_535)),
    ] {
        bench.make(&format!("a file of {name}"), Registered, "a.xml", |path| {
            fs::write(path, cda(&format!("of {name}"))).expect("written");
            File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_modified(time))
                .expect("a time");
        });
    }
}
