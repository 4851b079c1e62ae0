"""Where scripts/interop has put the programs of others."""

import os

FOLDER = os.environ.get("REMORA_INTEROP_DIR") or "/var/cache/remora-interop"
PROGRAMS = os.path.join(FOLDER, "bin")
ISTIO_DEFINITIONS = os.path.join(FOLDER, "istio-definitions.yaml")
GATEWAY_DEFINITIONS = os.path.join(FOLDER, "gateway-definitions.yaml")


def program(name):
    path = os.path.join(PROGRAMS, name)
    assert os.access(path, os.X_OK), f"{path} is not there: scripts/interop makes it"
    return path
