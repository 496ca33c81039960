"""Test a server under load.

Annotates texts with `nlp.pipe` first. Then starts `genner serve` with the same pipeline
and sends it the same texts from many clients at the same time. Each response must have
the spans of `nlp.pipe` for its own text: no text may be lost, doubled or mixed up with
another. At last the clients send more texts at once than the queue holds; a refused
request is sent again after the time that the server names. Prints one line of JSON.

    python benchmarks/serving_load.py training/demo/model-best corpus/test.spacy
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

import httpx
import spacy

from spacy_genner.io import write_json
from spacy_genner.pipeline.loading import find_spans_key
from spacy_genner.pipeline.texts import read_texts

Spans = list[tuple[int, int, str]]


def annotate(
    model: str, texts: list[str], batch_size: int
) -> tuple[list[Spans], float, float]:
    """Annotate texts with `nlp.pipe`.

    model (str): The folder of the pipeline.
    texts (list[str]): The texts.
    batch_size (int): The size of a batch.
    RETURNS (tuple[list[Spans], float, float]): The spans of each text, and the seconds
        and the processor seconds without loading.
    """
    nlp = spacy.load(model)
    key = find_spans_key(nlp, model)
    # Load the base.
    list(nlp.pipe(texts[:2]))
    started, cpu = time.perf_counter(), time.process_time()
    docs = nlp.pipe(texts, batch_size=batch_size)
    found = [
        [(span.start_char, span.end_char, span.label_) for span in doc.spans[key]]
        for doc in docs
    ]
    return found, time.perf_counter() - started, time.process_time() - cpu


class Server:
    """A process of `genner serve`.

    model (str): The folder of the pipeline.
    *options (str): Options of the command.
    """

    def __init__(self, model: str, *options: str):
        command = [sys.executable, "-m", "spacy_genner", "serve", model, *options]
        command += ["--port", "0", "--log-level", "error", "--no-access-log"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+:\d+", self.process.stdout.readline())
        if found is None:
            raise SystemExit("The server did not start.")
        self.url = found[0]

    def __enter__(self) -> "Server":
        """Wait until the models are loaded."""
        while self._get("/ready").status_code != 200:
            if self.process.poll() is not None:
                raise SystemExit("The server ended.")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=300)

    def metric(self, name: str) -> float:
        """RETURNS (float): The sum of the values of a metric."""
        lines = self._get("/metrics").text.splitlines()
        values = [
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name}{{", f"{name} "))
        ]
        return sum(values)

    def memory(self) -> float:
        """RETURNS (float): The resident memory in GB."""
        return self.metric("process_resident_memory_bytes") / 1e9

    def stop(self) -> int:
        """RETURNS (int): The exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(300)


class Clients:
    """Clients that send texts to a server at the same time.

    url (str): The address of the server.
    texts (list[str]): The texts.
    size (int): The number of texts in a request.

    records (list[list[dict]]): The records that were received for each text.
    latencies (list[float]): The seconds of each answered request.
    statuses (Counter[int]): The number of responses by status.
    waits (list[int]): The seconds that the server named, for each refused request.
    """

    def __init__(self, url: str, texts: list[str], size: int):
        self.url = url
        self.texts = texts
        self.size = size
        self.records: list[list[dict[str, Any]]] = [[] for _ in texts]
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.waits: list[int] = []
        self._starts = iter(range(0, len(texts), size))

    async def run(self, count: int) -> float:
        """Send all texts.

        count (int): The number of clients.
        RETURNS (float): The seconds.
        """
        limits = httpx.Limits(max_connections=count)
        started = time.perf_counter()
        async with httpx.AsyncClient(
            base_url=self.url, timeout=300, limits=limits
        ) as client:
            await asyncio.gather(*(self._send(client) for _ in range(count)))
        return time.perf_counter() - started

    async def _send(self, client: httpx.AsyncClient) -> None:
        for start in self._starts:
            texts = self.texts[start : start + self.size]
            started = time.perf_counter()
            while True:
                response = await client.post("/annotate", json={"texts": texts})
                self.statuses[response.status_code] += 1
                if response.status_code != 429:
                    break
                self.waits.append(int(response.headers["Retry-After"]))
                await asyncio.sleep(self.waits[-1])
            response.raise_for_status()
            self.latencies.append(time.perf_counter() - started)
            for index, record in enumerate(response.json()["results"], start):
                self.records[index].append(record)

    def compare(self, expected: list[Spans]) -> dict[str, int]:
        """Compare the received records with the texts and their spans.

        expected (list[Spans]): The spans of each text.
        RETURNS (dict[str, int]): The numbers of texts that were lost, doubled, mixed
            up, failed, or got other spans.
        """
        counts = dict.fromkeys(("lost", "doubled", "mixed_up", "failed", "differ"), 0)
        for text, spans, records in zip(
            self.texts, expected, self.records, strict=True
        ):
            counts["lost"] += not records
            counts["doubled"] += len(records) > 1
            for record in records:
                found = [(s["start"], s["end"], s["label"]) for s in record["spans"]]
                counts["mixed_up"] += record["text"] != text
                counts["failed"] += record["status"] == "failed"
                counts["differ"] += found != spans
        return counts

    def latency(self) -> dict[str, float]:
        """RETURNS (dict[str, float]): Mean, median and 95th percentile of the seconds
        of a request."""
        seconds = self.latencies
        p95 = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        rows = {"mean": mean(seconds), "p50": median(seconds), "p95": p95}
        return {name: round(value, 3) for name, value in rows.items()}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the test.

    args (Namespace): The arguments of the command line.
    RETURNS (dict[str, Any]): The results.
    """
    vocab = spacy.blank("xx").vocab
    texts = [item.text for item in read_texts(Path(args.data), vocab) if item.text]
    texts = list(dict.fromkeys(texts))[: args.texts or None]
    spans, pipe_seconds, pipe_cpu = annotate(args.model, texts, args.batch_size)
    batch = ("--batch-size", str(args.batch_size), "--timeout", "300")
    with Server(args.model, *batch) as server:
        one = Clients(server.url, texts, 1)
        one_seconds = asyncio.run(one.run(1)) if args.single else None
        names = (
            "genner_batch_texts_sum",
            "genner_batch_texts_count",
            "process_cpu_seconds_total",
        )
        before = [server.metric(name) for name in names]
        load = Clients(server.url, texts, args.size)
        seconds = asyncio.run(load.run(args.clients))
        sums, batches, cpu = (
            server.metric(name) - value
            for name, value in zip(names, before, strict=True)
        )
        memory = server.memory()
        codes = [server.stop()]
    # Twice as many texts at once as there are places.
    places = max(args.clients * args.size // 2, args.size)
    limits = ("--queue-size", str(places), "--max-texts", str(args.size))
    with Server(args.model, *batch, *limits) as server:
        over = Clients(server.url, texts, args.size)
        over_seconds = asyncio.run(over.run(args.clients))
        codes.append(server.stop())
    row: dict[str, Any] = {
        **vars(args),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "documents": len(texts),
        "spans": sum(map(len, spans)),
        "pipe": {
            "seconds": round(pipe_seconds, 2),
            "cpu_seconds": round(pipe_cpu, 2),
        },
        "load": {
            "seconds": round(seconds, 2),
            "latency": load.latency(),
            "cpu_seconds": round(cpu, 2),
            "texts_a_batch": round(sums / batches, 1),
            "server_gb": round(memory, 2),
            **load.compare(spans),
        },
        "beyond": {
            "queue_size": places,
            "seconds": round(over_seconds, 2),
            "refused_429": over.statuses[429],
            "answered_200": over.statuses[200],
            "other": over.statuses.total() - over.statuses[429] - over.statuses[200],
            "retry_after": sorted(set(over.waits)),
            "latency": over.latency(),
            **over.compare(spans),
        },
        "exit_codes": codes,
    }
    for name in ("pipe", "load", "beyond"):
        row[name]["texts_a_second"] = round(len(texts) / row[name]["seconds"], 2)
    row["throughput_ratio"] = round(pipe_seconds / seconds, 2)
    # Of the server alone, as if the clients were on other machines. Other work on the
    # machine hardly changes it.
    row["cpu_ratio"] = round(pipe_cpu / cpu, 2)
    if one_seconds is not None:
        row["one_client"] = {
            "seconds": round(one_seconds, 2),
            "texts_a_second": round(len(texts) / one_seconds, 2),
            "latency": one.latency(),
            **one.compare(spans),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline")
    add("data", help="texts: .txt, .jsonl or .spacy; a repeated text is sent once")
    add("--texts", type=int, default=0, help="number of texts; 0 for all")
    add("--clients", type=int, default=32, help="number of clients")
    add("--size", type=int, default=1, help="number of texts in a request")
    add("--batch-size", type=int, default=32, help="batch size of both")
    add("--single", action="store_true", help="send the texts from one client, too")
    add("--output", help="JSON file to write")
    args = parser.parse_args()
    row = measure(args)
    print(json.dumps(row))
    if args.output:
        write_json(Path(args.output), row)
    kinds = ("lost", "doubled", "mixed_up", "failed")
    parts = [row["load"], row["beyond"], row.get("one_client", {})]
    if any(part.get(kind) for part in parts for kind in kinds) or any(
        row["exit_codes"]
    ):
        raise SystemExit("The server lost, doubled, mixed up or failed texts.")


if __name__ == "__main__":
    main()
