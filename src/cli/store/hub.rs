//! The Hugging Face hub by plain HTTP: a `HEAD` that tells size and sha256 before anything is fetched, and a `GET` that continues
//! where an earlier one broke off. (The `hf-hub` crate keeps a cache of its own, cannot write into our partial file, and brings
//! two hundred more crates.)

use super::fetch::{Arrival, Expected, Trouble};
use crate::cli::terminal::{bytes_bar, human_bytes, note};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// How often a broken connection is taken up again before the source is given up.
const TRIES: usize = 4;

/// Fetches `file` of `repo` into the arrival's place.
pub fn fetch(repo: &str, file: &str, arrival: &Arrival) -> Result<(), Trouble> {
    let url = format!("{}/{repo}/resolve/main/{file}", endpoint());
    let stated = stated(&url)?;
    if let (Some(expected), Some(stated)) = (&arrival.expected, &stated)
        && expected.sha256 != stated.sha256
    {
        return Err(Trouble::Source(format!("has other bytes under that name (sha256 {}…)", &stated.sha256[..12])));
    }
    let expected = arrival.expected.as_ref().or(stated.as_ref());
    let resumed = fs::metadata(&arrival.partial).is_ok_and(|partial| partial.len() > 0);
    transfer_all(&url, arrival, expected)?;
    match arrival.finish(expected) {
        // What was continued may have begun as something else; once more, from the start.
        Err(Trouble::Source(why)) if resumed => {
            note(format!("  {why}; starting over"));
            transfer_all(&url, arrival, expected)?;
            arrival.finish(expected)
        }
        end => end,
    }
}

fn endpoint() -> String {
    let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned()).trim_end_matches('/').to_owned()
}

/// Short patience for finding the hub, so that an offline machine goes on to the next source at once; more for what it sends.
fn agent(redirects: u32) -> Agent {
    Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(3)))
        .timeout_connect(Some(Duration::from_secs(4)))
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .max_redirects(redirects)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("kinglet/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// What the hub says of a file: its answer to `HEAD`, before it redirects to where the bytes are, carries the sum of a large file.
fn stated(url: &str) -> Result<Option<Expected>, Trouble> {
    let response = authorised(agent(0).head(url)).call().map_err(|e| Trouble::Source(e.to_string()))?;
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    match response.status().as_u16() {
        200..=399 => {}
        status => return Err(refusal(status)),
    }
    let sha256 = text("x-linked-etag").map(|tag| tag.trim_matches('"').to_ascii_lowercase());
    let bytes = text("x-linked-size").and_then(|size| size.parse().ok());
    Ok(match (sha256, bytes) {
        (Some(sha256), Some(bytes)) if sha256.len() == 64 && sha256.is_ascii() => Some(Expected { bytes, sha256 }),
        _ => None,
    })
}

fn authorised<B>(request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
    match std::env::var("HF_TOKEN") {
        Ok(token) if !token.is_empty() => request.header("authorization", format!("Bearer {token}")),
        _ => request,
    }
}

fn refusal(status: u16) -> Trouble {
    Trouble::Source(match status {
        401 | 403 => {
            format!("refused ({status}): no such repository, or one whose terms must be accepted; set HF_TOKEN to a token that may read it")
        }
        404 => "no such repository or file (404)".to_owned(),
        status => format!("answered with status {status}"),
    })
}

/// Until the partial file is whole, or the connection has broken too often.
fn transfer_all(url: &str, arrival: &Arrival, expected: Option<&Expected>) -> Result<(), Trouble> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match transfer(url, arrival, expected)? {
            Transferred::Whole => return Ok(()),
            Transferred::Broken(why) => last = why,
        }
    }
    let got = fs::metadata(&arrival.partial).map_or(0, |partial| partial.len());
    Err(Trouble::Source(format!("the connection broke {TRIES} times ({last}); {} are kept for the next try", human_bytes(got))))
}

enum Transferred {
    Whole,
    Broken(String),
}

/// One `GET`, from the partial file's end on.
fn transfer(url: &str, arrival: &Arrival, expected: Option<&Expected>) -> Result<Transferred, Trouble> {
    let writing = |e: std::io::Error| Trouble::writing(&arrival.partial, &e);
    let mut have = fs::metadata(&arrival.partial).map_or(0, |partial| partial.len());
    if expected.is_some_and(|expected| have >= expected.bytes) {
        return Ok(Transferred::Whole);
    }
    let mut request = authorised(agent(10).get(url));
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(e) => return Ok(Transferred::Broken(e.to_string())),
    };
    match response.status().as_u16() {
        206 => {}
        // No ranges here: the whole file comes, from its beginning.
        200 => have = 0,
        // Nothing beyond what we have.
        416 if have > 0 => return Ok(Transferred::Whole),
        status @ 500..=599 => return Ok(Transferred::Broken(format!("status {status}"))),
        status => return Err(refusal(status)),
    }
    let total = expected.map(|expected| expected.bytes).or_else(|| length(&response).map(|left| left + have));
    let mut file = File::options().create(true).truncate(have == 0).append(have > 0).write(true).open(&arrival.partial).map_err(writing)?;
    let bar = bytes_bar(total.unwrap_or(0), "downloading");
    bar.set_position(have);
    bar.reset_eta();
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                file.write_all(&buffer[..n]).map_err(writing)?;
                have += n as u64;
                bar.set_position(have);
                if expected.is_some_and(|expected| have > expected.bytes) {
                    break;
                }
            }
            Err(e) => {
                bar.finish_and_clear();
                return Ok(Transferred::Broken(e.to_string()));
            }
        }
    }
    bar.finish_and_clear();
    file.sync_all().map_err(writing)?;
    Ok(match total {
        Some(total) if have < total => Transferred::Broken(format!("ended after {have} of {total} bytes")),
        _ => Transferred::Whole,
    })
}

fn length(response: &Response<Body>) -> Option<u64> {
    response.headers().get("content-length")?.to_str().ok()?.parse().ok()
}
