//! What the linker has to know about libbie.so; nothing is written into the tree.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // While the major version is 0 the soname is libbie.so.0, and programs ask for that name.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libbie.so.0");
        // ONNX Runtime keeps process-wide state and threads that run our code at exit: dlclose must leave it mapped.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
