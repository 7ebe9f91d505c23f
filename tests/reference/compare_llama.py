"""Compares kinglet with llama.cpp on the same files: token ids, greedy continuations, perplexity.

    python tests/reference/compare_llama.py --kinglet target/release/kinglet --peer llama.cpp/build/bin -m MODEL.gguf [-m …]

PEER is the folder with llama.cpp's llama-server and llama-perplexity. Two programs that add the same numbers in another order differ
in the last bits, and both round activations to 8 bits, each in its own way; so greedy texts may part, but only where the two best
tokens are nearly tied: for each text that parts, the gap between them there is shown as a part of the spread (standard deviation) of
that row of logits. How far rounding moves either program from plain f32 arithmetic (`kinglet logits --reference`) is measured over
the peer's ten best tokens at each place of the first texts: kinglet may be no further away than the peer. Exit code 1 where a bound
is exceeded. Needs numpy and safetensors.
"""

import argparse
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy
import safetensors.numpy

TOKENS = 48
# Rounding moves the difference of two logits by about 0.06 of the spread (root mean square; see the figures that are printed).
NEARLY_TIED = 0.1
PERPLEXITY = 0.005
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXTS = [ROOT / "LICENSE-APACHE", *sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"]

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n    ",
    "#include <stdio.h>\n\nint main(void) {\n",
    "Water boils at 100 degrees Celsius because",
    "Q: What is 17 + 25?\nA:",
    "The three laws of thermodynamics are:\n1.",
    "Dear Sir or Madam,\n\nI am writing to",
    '{"name": "Alice", "age": 31, "city": "',
    "Die Hauptstadt von Österreich ist",
    "Il était une fois une petite fille qui",
    "El perro corre por el parque porque",
    "日本の首都は",
    "SELECT name, COUNT(*) FROM orders WHERE",
    "In 1969, the first human being",
    "Ingredients:\n- 2 cups of flour\n- 1 cup of sugar\n-",
    "To be, or not to be, that is",
    "The mitochondria is the powerhouse of",
    "Breaking news 🚀: scientists have found",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g",
]


class Peer:
    """llama-server on one model."""

    def __init__(self, folder, model, threads):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [folder / "llama-server", "-m", model, "-c", "2048", "-t", threads, "--port", port, "--parallel", "1"]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).read()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise SystemExit(f"{command[0]} does not start with {model}")

    def ask(self, path, **body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=300))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def run(command, text=None):
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} {command[1]}: {done.stderr.strip()}")
    return done


def logits(arguments, model, prompt, continuation, folder, *flags):
    """kinglet's logits for each token of the continuation, [tokens, vocabulary]."""
    out = folder / "logits.safetensors"
    ids = ",".join(map(str, prompt + continuation[:-1]))
    run([arguments.kinglet, "logits", "-m", model, "--tokens", ids, "--last", len(continuation), "-o", out, *flags])
    return safetensors.numpy.load_file(out)["logits"]


def parting(rows, continuation):
    """Where kinglet's best token is another than the peer's: (index, gap of the two / spread of the row), or None."""
    for at, (row, token) in enumerate(zip(rows, continuation)):
        if row.argmax() != token:
            return at, float(row.max() - row[token]) / float(row.std())
    return None


def errors(rows, reference, places):
    """Squared differences to the f32 arithmetic over the peer's best tokens: kinglet's and the peer's, as a part of the spread."""
    own, theirs = [], []
    for row, exact, place in zip(rows.astype("f8"), reference.astype("f8"), places):
        ids = [top["id"] for top in place["top_logprobs"]]
        found = numpy.array([top["logprob"] for top in place["top_logprobs"]])
        normal = lambda logits: logits[ids] - logits.max() - numpy.log(numpy.exp(logits - logits.max()).sum())
        own += list(((normal(row) - normal(exact)) / exact.std()) ** 2)
        theirs += list(((found - normal(exact)) / exact.std()) ** 2)
    return own, theirs


def greedy(arguments, model, folder):
    """How many prompts continue alike, and whether the others part where they may."""
    equal, gaps, own_errors, peer_errors = 0, [], [], []
    with Peer(arguments.peer, model, arguments.threads) as peer:
        for number, prompt in enumerate(PROMPTS):
            ids = peer.ask("/tokenize", content=prompt, add_special=True)["tokens"]
            own = json.loads(run([arguments.kinglet, "tokenize", "-m", model, "--ids"], prompt).stdout)
            if own != ids:
                raise SystemExit(f"{model.name}: tokens of {prompt!r} differ\n  llama.cpp {ids}\n  kinglet   {own}")
            options = dict(prompt=ids, n_predict=TOKENS, temperature=0, return_tokens=True, cache_prompt=False, n_probs=10)
            answer = peer.ask("/completion", **options)
            text = run([arguments.kinglet, "run", "-m", model, "--raw", "--temp", "0", "-n", TOKENS, "-f", "/dev/stdin"], prompt).stdout
            # kinglet ends its output with a line end where the text has none.
            alike = text.rstrip("\n") == answer["content"].rstrip("\n")
            rows = logits(arguments, model, ids, answer["tokens"], folder)
            parts = parting(rows, answer["tokens"])
            equal += alike
            if alike != (parts is None):
                raise SystemExit(f"{model.name}: `run` and `logits` disagree after {prompt!r}\n  {text!r}\n  {answer['content']!r}")
            if parts:
                gaps.append(parts[1])
                print(f"    parts at token {parts[0]}, gap {parts[1]:.5f} of the spread: {prompt!r}")
            if number < arguments.exact:
                reference = logits(arguments, model, ids, answer["tokens"], folder, "--reference")
                own, theirs = errors(rows, reference, answer["completion_probabilities"])
                own_errors += own
                peer_errors += theirs
    own, theirs = (numpy.sqrt(numpy.mean(squares or [0.0])) for squares in (own_errors, peer_errors))
    print(f"  distance to f32 arithmetic, of the spread: kinglet {own:.4f}, llama.cpp {theirs:.4f}")
    print(f"  greedy: {equal} of {len(PROMPTS)} continuations of {TOKENS} tokens are equal; largest gap {max(gaps, default=0):.5f}")
    return max(gaps, default=0) <= NEARLY_TIED and own <= 1.1 * theirs


def perplexity(arguments, model, folder):
    """Whether both programs find the same text equally likely."""
    text = folder / "text.txt"
    text.write_text("\n".join(path.read_text() for path in arguments.text or TEXTS))
    own = json.loads(run([arguments.kinglet, "perplexity", "-m", model, "-f", text, "-c", "512", "--json", "-t", arguments.threads]).stdout)
    command = [arguments.peer / "llama-perplexity", "-m", model, "-f", text, "-c", "512", "-t", arguments.threads]
    found = re.search(r"Final estimate: PPL = ([\d.]+) \+/- ([\d.]+)", "".join([(done := run(command)).stdout, done.stderr]))
    theirs = float(found[1])
    difference = own["perplexity"] / theirs - 1
    print(f"  perplexity: kinglet {own['perplexity']:.4f}, llama.cpp {theirs:.4f} ± {found[2]}: {difference:+.4%}", end=" ")
    print(f"({own['chunks']} chunks of 512 tokens)")
    return abs(difference) <= PERPLEXITY


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinglet", type=pathlib.Path, default=ROOT / "target/release/kinglet")
    parser.add_argument("--peer", type=pathlib.Path, required=True)
    parser.add_argument("-m", "--model", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--text", type=pathlib.Path, action="append", help="text for the perplexity [default: the licence and docs/]")
    parser.add_argument("--exact", type=int, default=4, help="prompts whose distance to f32 arithmetic is measured (slow)")
    parser.add_argument("-t", "--threads", default="2")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.model:
            print(model.name)
            good &= greedy(arguments, model, pathlib.Path(folder))
            good &= perplexity(arguments, model, pathlib.Path(folder))
    sys.exit(0 if good else 1)


main()
