"""What do the JUnit files of a test run say: which test ran, how it ended, what it proves?

Reading and the few lines of writing that tools without JUnit output need. Do not add judgement
here: what an outcome means is the reader's business.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET


class Outcome(StrEnum):
    """Name the ways in which a test ends; an expected failure counts as skipped."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Case(NamedTuple):
    """Hold one test of a run."""

    name: str
    outcome: Outcome
    detail: str = ""
    proves: tuple[str, ...] = ()


def read(path: Path) -> Iterator[Case]:
    """Yield the cases of one file; a file that a killed run left unfinished has none."""
    try:
        tree = ET.parse(path)  # noqa: S314 - written by our own run
    except (ET.ParseError, FileNotFoundError):
        return
    for element in tree.iter("testcase"):
        yield _case(element)


def read_folder(folder: Path) -> Iterator[Case]:
    """Yield the cases of every JUnit file in a run's folder."""
    for path in sorted(folder.glob("*.xml")):
        yield from read(path)


def write(path: Path, suite: str, cases: Iterable[Case]) -> None:
    """Write cases in the shape that `read` and every CI system understands."""
    top = ET.Element("testsuite", name=suite)
    for case in cases:
        element = ET.SubElement(top, "testcase", classname=suite, name=case.name)
        properties = ET.SubElement(element, "properties")
        for feature in case.proves:
            ET.SubElement(properties, "property", name="proves", value=feature)
        if case.outcome is Outcome.FAILED:
            ET.SubElement(element, "failure", message=case.detail)
        if case.outcome is Outcome.SKIPPED:
            ET.SubElement(element, "skipped", message=case.detail)
    ET.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)


def _case(element: ET.Element) -> Case:
    name = ".".join(part for part in (element.get("classname"), element.get("name")) if part)
    proves = tuple(
        entry.get("value", "")
        for entry in element.iterfind("properties/property")
        if entry.get("name") == "proves"
    )
    broken = element.find("failure")
    if broken is None:
        broken = element.find("error")
    if broken is not None:
        return Case(name, Outcome.FAILED, broken.get("message", ""), proves)
    skipped = element.find("skipped")
    if skipped is not None:
        return Case(name, Outcome.SKIPPED, skipped.get("message", ""), proves)
    return Case(name, Outcome.PASSED, "", proves)
