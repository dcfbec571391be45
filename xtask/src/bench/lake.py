"""DuckDB on the queries of `cargo xtask bench lake`.

Prints the seconds of the rates, those of the windows' requests, the peak of memory in MB, and the rows that came out.
"""

import csv
import resource
import sys
import time

import duckdb

logs, windows, output, threads = sys.argv[1:]
connection = duckdb.connect()
connection.execute(f"SET threads = {int(threads)}")
connection.execute("SET memory_limit = '1GB'")
connection.execute("SET TimeZone = 'UTC'")
source = f"""
    SELECT epoch_us(start_time) AS t_us, prompt_tokens::BIGINT AS prompt_tokens, output_tokens::BIGINT AS output_tokens,
           duration_ms / 1000.0 AS service_s, route AS class, session_id AS session, upstream
    FROM read_parquet('{logs}/*.parquet') WHERE status = 200
"""

begin = time.perf_counter()
connection.execute(f"""
    SELECT t_us // 300000000 AS step, class, count(*), sum(prompt_tokens), sum(output_tokens),
           sum(prompt_tokens::DOUBLE * prompt_tokens::DOUBLE), sum(output_tokens::DOUBLE * output_tokens::DOUBLE),
           min(prompt_tokens), min(output_tokens)
    FROM ({source}) GROUP BY ALL
""").fetchall()
rates_s = time.perf_counter() - begin

with open(windows, newline="") as file:
    begins = [int(row["begin_s"]) for row in csv.DictReader(file) if row["chosen"]]
within = " OR ".join(
    f"(start_time >= make_timestamptz({begin_s * 1000000}) AND start_time < make_timestamptz({(begin_s + 3600) * 1000000}))"
    for begin_s in begins
)
begin = time.perf_counter()
rows = connection.execute(f"""
    COPY ({source} AND ({within}) ORDER BY t_us, session, prompt_tokens) TO '{output}' (FORMAT parquet, COMPRESSION snappy)
""").fetchone()[0]
requests_s = time.perf_counter() - begin
memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(rates_s, requests_s, memory_mb, rows)
