"""On what kind of disk does a folder lie? The journal's locks and its log hold on a local one
only."""

from __future__ import annotations

from pathlib import Path

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs", "ceph", "afs"}
)


def mounts() -> list[tuple[str, str]]:
    """(mount point, file system) of this machine; empty where the kernel does not say."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return []
    return [(parts[1], parts[2]) for line in lines if len(parts := line.split()) > 2]


def file_system_of(path: Path, mounts: list[tuple[str, str]]) -> str:
    """The file system that holds `path`: that of the longest mount point above it."""
    real = path.resolve()
    found = ("", "")
    for point, kind in mounts:
        if real.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]
