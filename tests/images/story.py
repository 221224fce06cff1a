"""What is done with the images, in order, and what must hold of each."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.checkpoint import DEFAULT_CHECKPOINT
from tests.helm.chart import FOLDER as CHART
from tests.images import questions
from tests.images.building import Unpacked
from tests.images.container import Mount, Program, run
from tests.images.contents import collectors
from tests.images.pod import PORT, Parts, Pod, liveness, running_pod
from tests.images.report import check

TEXTS = ["The crust of bread", "Warum schmeckt Brot so gut?", "パンはなぜおいしいのですか", ""]
MANY = [f"{'the baker and the bread ' * 40}{number}" for number in range(128)]
OTHER_USER = "1000680000:0"  # as OpenShift chooses one for each namespace
MIN_COSINE = 0.99999  # another order of summation stays above 0.999999
# Of onnxruntime, which ORT_DISABLE_TELEMETRY keeps silent.
KNOWN_COLLECTORS = {"events.data.microsoft.com"}

# sentence-transformers itself, as anybody would call it.
REFERENCE = """
import json, os
from sentence_transformers import SentenceTransformer
model = SentenceTransformer("/checkpoint", device="cpu")
print(json.dumps(model.encode(json.loads(os.environ["TEXTS"]), normalize_embeddings=True).tolist()))
"""


class Story:
    """Exports, serves and stops with images by their names."""

    def __init__(self, images: dict[str, Unpacked], folder: Path) -> None:
        self._images, self._folder = images, folder
        self.models = folder / "models"
        self.writable: dict[str, list[str]] = {}
        self.started_seconds: dict[str, float] = {}

    def export(self, checkpoint: Path) -> None:
        """A repository and the vectors to compare with, both by the image of the exporter."""
        image, root = self._images["export"].image, self._images["export"].root
        self.models.mkdir(mode=0o777)
        self.models.chmod(0o777)
        read = Mount(checkpoint, "/checkpoint")
        words = ("/checkpoint", "--output", "/models", "--served-name", DEFAULT_CHECKPOINT)
        mounts = [read, Mount(self.models, "/models", read_only=False)]
        program = Program(image, root, words, mounts=mounts)
        run(self._folder, "export", program)
        exported = sorted(one.parent.name for one in self.models.glob("*/config.pbtxt"))
        check(bool(exported), f"the image of the exporter made {', '.join(exported)}")
        asked = {"TEXTS": json.dumps(TEXTS)}
        program = Program(image, root, ["-c", REFERENCE], asked, [read], entry=["python3"])
        said = run(self._folder, "reference", program)
        self._reference = np.array(json.loads(said.splitlines()[-1]))
        self.writable["export"] = self._writable("export")

    def add_key(self, folder: Path) -> str:
        """A key file as the documentation makes one, by the image of the gateway."""
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        image, root = self._images["gateway"].image, self._images["gateway"].root
        words = ("keys", "add", "images", "--file", "/keys/keys.toml")
        mounts = [Mount(folder, "/keys", read_only=False)]
        said = run(self._folder, "keys", Program(image, root, words, mounts=mounts))
        (folder / "keys.toml").chmod(0o644)
        return said.splitlines()[-1]

    def serve(self, parts: Parts) -> None:
        """The repository mounted; its vectors, its probes, what it loads, and its end."""
        with running_pod(parts) as pod:
            self.started_seconds |= pod.started_seconds
            self._compare(pod, "a mounted repository")
            self._probe(pod)
            for name, container in {"gateway": pod.gateway, "triton-cpu": pod.triton}.items():
                self.writable[name] = container.python(questions.WRITABLE)
            self._listen(pod)
            left = self._kill(pod, parts)
        with running_pod(parts) as pod:
            remains = left & {file.name for file in parts.shared_memory.iterdir()}
            check(not remains, "the next one removed them before it loaded its models")
            self._compare(pod, "the same after a kill")
            self._stop(pod)

    def serve_image(self, parts: Parts, model: Mount) -> None:
        """The repository out of the image of a model, and another user of group 0."""
        for user in ("", OTHER_USER):
            with running_pod(replace(parts, repository=model, user=user)) as pod:
                who = pod.gateway.execute("id", "-u").stdout.strip()
                self._compare(pod, f"the image of a model, as user {who}")
                self._probe(pod)

    def copy(self, model: Unpacked) -> None:
        """The image of a model with a base is copied as an init container does."""
        target = self._folder / "copied"
        target.mkdir()
        target.chmod(0o777)
        command = ("cp", "-r", "/models/.", "/target")
        mounts = [Mount(target, "/target", read_only=False)]
        run(
            self._folder, "copy", Program(model.image, model.root, command, mounts=mounts, entry=[])
        )
        same = {file.name for file in self.models.iterdir()} == {
            one.name for one in target.iterdir()
        }
        check(same, "the image of a model with a base copies itself into a volume")

    def _compare(self, pod: Pod, source: str) -> None:
        answer = pod.embed(json.dumps(TEXTS))
        vectors = np.array(answer["vectors"])
        cosine = float(np.sum(vectors * self._reference, axis=1).min()) if vectors.size else 0.0
        check(cosine > MIN_COSINE, f"{source}: {vectors.shape} vectors, least cosine {cosine:.7f}")

    def _probe(self, pod: Pod) -> None:
        for name, container in {"gateway": pod.gateway, "triton-cpu": pod.triton}.items():
            command = self._images[name].image.config["Healthcheck"]["Test"][1:]
            check(container.execute(*command).returncode == 0, f"HEALTHCHECK of {name}")
        check(pod.triton.execute(*liveness("-triton")).returncode == 0, "the chart's liveness")
        told = pod.gateway.execute(
            *("python3", "-c", (CHART / "files" / "embed.py").read_text()),
            OPERATIONS="http://127.0.0.1:9090",
            CALLS=f"http://127.0.0.1:{PORT}",
            AUTH="required",
            API_KEY=pod.key,
        )
        check(told.returncode == 0, f"helm test: {', '.join(told.stdout.splitlines())}")

    def _listen(self, pod: Pod) -> None:
        """Nobody was asked for anything outside, and what is loaded names one collector."""
        turned_away = pod.gateway.python(questions.TURNED_AWAY)
        check(turned_away == 0, "nothing went out: 0 packets without a route")
        pod.gateway.execute("python3", "-c", questions.LOOK_UP)
        noticed = pod.gateway.python(questions.TURNED_AWAY)
        check(noticed > 0, f"a name that is looked up would be noticed: {noticed} packets")
        loaded = 0
        found: dict[str, set[str]] = {}
        for name, container in {"gateway": pod.gateway, "triton-cpu": pod.triton}.items():
            files = container.python(questions.LOADED)
            loaded += len(files)
            found |= collectors(self._images[name].root, files)
        hosts = {".".join(host.split(".")[-4:]) for named in found.values() for host in named}
        check(hosts <= KNOWN_COLLECTORS, f"{loaded} libraries loaded; collectors named: {found}")

    def _kill(self, pod: Pod, parts: Parts) -> set[str]:
        """Triton by force; the names of what it leaves in shared memory."""
        pod.triton.signal("KILL")
        code, _ = pod.triton.ended()
        left = {file.name for file in parts.shared_memory.iterdir()}
        check(bool(left), f"Triton killed: code {code}, {len(left)} segments left")
        return left

    def _stop(self, pod: Pod) -> None:
        """SIGTERM while a call is on its way: the gateway answers it and ends, then Triton."""
        with ThreadPoolExecutor() as aside:
            answer = aside.submit(pod.embed, json.dumps(MANY))
            while not pod.gateway.python(questions.IN_FLIGHT):
                assert not answer.done(), "the call is too short"
            pod.gateway.signal("TERM")
            code, seconds = pod.gateway.ended()
            status = answer.result()["status"]
        check(
            (code, status) == (0, 200), f"SIGTERM: gateway {code} in {seconds:.1f} s, call {status}"
        )
        pod.triton.signal("TERM")
        code, seconds = pod.triton.ended()
        check(code == 0, f"SIGTERM: Triton {code} in {seconds:.1f} s")

    def _writable(self, name: str) -> list[str]:
        image, root = self._images[name].image, self._images[name].root
        program = Program(image, root, ["-c", questions.WRITABLE], entry=["python3"])
        found: list[str] = json.loads(run(self._folder, f"writable-{name}", program))
        return found
