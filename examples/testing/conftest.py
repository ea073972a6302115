"""A cluster for all tests of a pytest run. It ends with pytest, also when that is killed."""
import json
import os
import subprocess

import pytest
from kubernetes import client, config

COX = os.path.join(os.path.dirname(__file__), "../../control-plane/cli/cox.sh")


@pytest.fixture(scope="session")
def core():
    flags = ["--api-only", "--ephemeral", "--exit-with-parent", "--output", "json"]
    with subprocess.Popen([COX, "up", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        config.load_kube_config(json.loads(cluster.stdout.readline())["kubeconfig"])
        yield client.CoreV1Api()
        cluster.stdin.close()
