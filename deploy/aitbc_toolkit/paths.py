"""Where are the checkout's own folders? Nothing but the checkout decides.

The toolkit runs from a checkout: a wheel would carry a stale copy of the templates. Do not read
the environment here; a caller that lets the operator move the state passes the path on.
"""

from pathlib import Path


def project_root() -> Path:
    """Find the folder that holds `pyproject.toml`, `templates/` and `inventories/`."""
    return Path(__file__).resolve().parents[2]


def state_root(override: str | Path | None = None) -> Path:
    """Find the folder for what runs leave behind: `.aitbc` of the checkout, unless told else."""
    return Path(override).absolute() if override else project_root() / ".aitbc"


def templates() -> Path:
    """Find the Jinja2 templates."""
    return project_root() / "templates"


def inventories() -> Path:
    """Find the folder with one sub-folder per environment."""
    return project_root() / "inventories"
