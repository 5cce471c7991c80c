//! Embeds the page anew when its files change.

fn main() {
    println!("cargo:rerun-if-changed=assets");
}
