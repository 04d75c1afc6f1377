"""The sources file: YAML, whose mistakes are told by line and field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from usage_collector.sources.model import Source, Sources


class SourcesFileError(ValueError):
    """The sources file cannot be used; the message has a line for every mistake."""


def read_sources(file: Path) -> list[Source]:
    """The sources in ``file``.

    Raises:
        SourcesFileError: naming file, line and field of every mistake.
    """
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        raise SourcesFileError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourcesFileError(f"{file}: not UTF-8: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SourcesFileError(f"{file}:{mark.line + 1 if mark else 1}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SourcesFileError(f"{file}: {' '.join(str(error).split())}") from error
    try:
        return Sources.model_validate(data).sources
    except ValidationError as error:
        mistakes = [
            f"{file}:{_place(root, one['loc'])}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise SourcesFileError("\n".join(mistakes)) from error


def _place(root: yaml.Node | None, steps: Sequence[str | int]) -> str:
    """``12: sources[1].folder``: the deepest node there is; a union's branch, which pydantic names, is no field."""
    node, line, path = root, 1, ""
    for index, step in enumerate(steps):
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line, path = node.start_mark.line + 1, f"{path}[{step}]"
            continue
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
        if found is not None:
            line, node = found[0].start_mark.line + 1, found[1]
        elif index != len(steps) - 1:
            continue
        path = f"{path}.{step}"
    return f"{line}: {path.removeprefix('.') or 'document'}"
