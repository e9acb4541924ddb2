"""A file to every host and back from each: LOGINS SOURCE FOLDER."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nepiq.controller import ExperimentController

logins, source, folder = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])


def copy(ec: ExperimentController, nodes: list[int]) -> None:
    """There and back."""
    ec.upload(nodes, source, "copy")
    with ThreadPoolExecutor(len(nodes)) as pool:
        back = [
            pool.submit(ec.download, node, "copy", str(folder / str(number)))
            for number, node in enumerate(nodes)
        ]
        for download in back:
            download.result()


with ExperimentController("bench-copy") as ec:
    nodes = [ec.register_resource("linux::Node", hardRelease=True, **login) for login in logins]
    ec.deploy()
    ec.wait_deployed(nodes)
    copy(ec, nodes)
    print(json.dumps({"end": time.time(), "outputs": []}), flush=True)
