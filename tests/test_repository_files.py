"""The files that people look for in a repository: they agree with the project, and hosted CI can read them."""

import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.markdown import ROOT, code_blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = read(ROOT / ".github" / "workflows" / name)
    # YAML reads the key `on` as true.
    return found | {"on": found[True]}


def test_the_citation_has_what_its_format_asks_for_and_names_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert datetime.date.fromisoformat(citation["date-released"])
    for work in (citation, *citation["references"]):
        assert all(author.keys() & {"name", "family-names"} for author in work["authors"])


def test_the_newest_changes_are_those_of_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    releases = [heading for heading in headings if heading != "Unreleased"]
    assert re.fullmatch(rf"{re.escape(PROJECT['version'])} \(\d{{4}}-\d\d-\d\d\)", releases[0])


def test_pre_commit_has_the_version_that_ci_has() -> None:
    (pinned,) = re.findall(r"^ruff==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["rev"] == f"v{pinned}"
    assert {hook["id"] for hook in repository["hooks"]} == {"ruff-check", "ruff-format"}


def test_hosted_ci_runs_what_the_readme_tells_everyone_to_run() -> None:
    job = workflow("ci.yml")["jobs"]["test"]
    assert "make test" in [step.get("run") for step in job["steps"]]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert job["strategy"]["matrix"]["python-version"][0] == oldest


@pytest.mark.parametrize("name", ["ci.yml", "gate.yml"])
def test_a_workflow_can_only_read_and_puts_no_input_into_a_command(name: str) -> None:
    read_only = workflow(name)
    assert read_only["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in read_only["on"]
    commands = [step["run"] for job in read_only["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands
    assert not [command for command in commands if "${{" in command]


def test_the_page_calls_the_gate_with_inputs_that_it_has() -> None:
    (text,) = [code.text for code in code_blocks(ROOT / "docs" / "ci.md") if code.language == "yaml"]
    assert len(text.splitlines()) <= 10
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert re.fullmatch(r"OWNER/l2obench/\.github/workflows/gate\.yml@\S+", job["uses"])
    inputs = workflow("gate.yml")["on"]["workflow_call"]["inputs"]
    assert job["with"].keys() <= inputs.keys()
    assert {key for key, given in inputs.items() if given.get("required")} <= job["with"].keys()


def test_forms_for_issues_ask_something() -> None:
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 2
    for form in map(read, forms):
        assert {"name", "description", "body"} <= form.keys()
        assert all(field["attributes"]["label"] for field in form["body"])
