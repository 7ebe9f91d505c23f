//! The program `kinglet`; everything is in [`kinglet::cli`].

fn main() -> std::process::ExitCode {
    kinglet::cli::main()
}
