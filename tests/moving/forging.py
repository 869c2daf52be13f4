"""Archives as somebody makes them who means harm: changed, or signed by a key of their own."""

import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from app.conformance import signed
from app.moving import bag
from app.moving.bag import Member
from app.tasks.owner_export import TYPE

FORGER = ECKey.generate_key("P-256")


def members_of(path: Path) -> dict[str, bytes]:
    """Every file of an archive by its path below the top."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(target: Path, files: Mapping[str, bytes], *more: tuple[zipfile.ZipInfo, bytes]) -> Path:
    """A zip of these files under one top, and of others as they are told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a name comes twice
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(f"top/{name}", data)
            for info, data in more:
                archive.writestr(info, data)
    return target


def forged(source: Path, target: Path, changed: Mapping[str, bytes], **told: Any) -> Path:
    """The archive with members changed or added, and a manifest of it that the forger signed."""
    files = {**members_of(source), **changed}
    lines = told.pop("lines", {})
    manifest = {**json.loads(files[bag.MANIFEST]), **told}
    paths = [name for name in files if name.startswith("data/")]
    members = [
        Member(name, len(files[name]), hashlib.sha256(files[name]).hexdigest(), lines.get(name))
        for name in paths
    ]
    manifest["members"] = [each.as_json() for each in members]
    data = json.dumps(manifest).encode()
    kid = FORGER.thumbprint()
    claims = {"iss": "https://forger.example", "manifest_sha256": hashlib.sha256(data).hexdigest()}
    files |= {
        bag.MANIFEST: data,
        bag.PAYLOAD: bag.payload_manifest(members),
        bag.SIGNATURE: signed.sign(TYPE, claims, kid, FORGER).encode(),
        bag.KEYS: json.dumps({"keys": [{**FORGER.as_dict(private=False), "kid": kid}]}).encode(),
    }
    return written(target, files)
