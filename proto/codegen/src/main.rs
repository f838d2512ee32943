//! Writes `proto/src/gen/`: run it after a change of a `.proto` file.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or_else(|| anyhow::anyhow!("proto/codegen stands inside proto/"))?;
    let out = proto.join("src/gen");
    sundbro_proto_codegen::generate(proto, &out)?;
    println!("wrote {}", out.display());
    Ok(())
}
