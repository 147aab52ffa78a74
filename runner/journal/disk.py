"""On what kind of disk does a folder lie? The journal's locks and its log hold on a local one
only, and only on one that outlives the machine or the container is a journal of any use."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.blobfuse2",
        "fuse.ceph",
        "fuse.ceph-fuse",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.goofys",
        "fuse.juicefs",
        "fuse.mount-s3",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
    }
)
PASSING_FILE_SYSTEMS = frozenset(
    {"aufs", "fuse.fuse-overlayfs", "overlay", "ramfs", "rootfs", "tmpfs"}
)
"""A container's own layer, and memory: what lies there ends with the container or the machine."""
EMPTY_DIR = "/volumes/kubernetes.io~empty-dir/"
"""Where Kubernetes keeps a volume that ends with its pod, on a disk of any kind.
Source: kubernetes.io "Volumes", emptyDir, 2026-11-25."""


class Mount(Struct, frozen=True):
    """One line of the kernel's list. `root`: which folder of the file system is shown there."""

    point: str
    kind: str
    root: str = "/"


def mounts() -> list[Mount]:
    """What is mounted for this process; empty where the kernel does not say.

    Source: proc_pid_mountinfo(5), 2026-11-25.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    return [found for line in lines if (found := _mount(line)) is not None]


def _mount(line: str) -> Mount | None:
    before, _, after = line.partition(" - ")
    parts, kind = before.split(" "), after.partition(" ")[0]
    if len(parts) < 5 or not kind:
        return None
    return Mount(point=_plain(parts[4]), kind=kind, root=_plain(parts[3]))


def _plain(text: str) -> str:
    r"""The kernel writes a blank in a path as `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def mount_of(path: Path, mounts: list[Mount]) -> Mount:
    """What holds `path`: the longest mount point above it, the later one of two."""
    real = path.resolve()
    found = Mount(point="", kind="")
    for mount in mounts:
        if real.is_relative_to(mount.point) and len(mount.point) >= len(found.point):
            found = mount
    return found


def passing(mount: Mount) -> str | None:
    """What a disk is that does not outlive its container or machine; None for one that does."""
    if EMPTY_DIR in mount.root + "/":
        return "an emptyDir volume, which ends with its pod"
    if mount.kind in ("tmpfs", "ramfs"):
        return f"{mount.kind}, which is memory and ends with the machine or the container"
    if mount.kind in PASSING_FILE_SYSTEMS:
        return f"{mount.kind}, a container's own layer, which ends with the container"
    return None
