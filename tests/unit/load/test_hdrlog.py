"""The log of latencies is what HDR tools read, and adds up to the whole."""

from pathlib import Path

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from aitbc_load.hdrlog import NAME, Log
from aitbc_load.histograms import HIGHEST_US, Latencies


def counted(*latencies_us: int) -> Latencies:
    """Count some."""
    found = Latencies()
    for each in latencies_us:
        found.record_us(each)
    return found


def test_an_hdr_tool_reads_the_log(tmp_path: Path) -> None:
    """The library's own reader finds the start, every interval, and all counts."""
    with Log(str(tmp_path), began=1_700_000_000.5) as log:
        log.add("to_final", counted(1_000, 2_000), from_s=0.0, until_s=1.0)
        log.add("to_final", counted(), from_s=1.0, until_s=2.0)
        log.add("to_final", counted(900_000), from_s=2.0, until_s=3.25)
        log.add_whole({"submit": counted(50)}, until_s=3.25)

    lines = (tmp_path / NAME).read_text().splitlines()
    assert lines[0] == "#[Histogram log format version 1.3]"
    assert lines[3].startswith("Tag=to_final,0.000,1.000,2.000,HIST")
    assert lines[4].startswith("Tag=to_final,2.000,1.250,900.000,HIST")
    assert lines[5].startswith("Tag=submit,0.000,3.250,0.050,HIST")
    reader = HistogramLogReader(str(tmp_path / NAME), HdrHistogram(1, HIGHEST_US, 3))
    try:
        read = [reader.get_next_interval_histogram() for _ in range(3)]
    finally:
        reader.input_file.close()
    assert [(each.get_tag(), each.get_total_count()) for each in read] == [
        ("to_final", 2),
        ("to_final", 1),
        ("submit", 1),
    ]
    assert read[1].get_start_time_stamp() == 1_700_000_002_500
